"""Servers side by side over HTTP: requests a second, latency, memory, CPU and start, by the number
of clients and by the rate at which requests arrive.

    specs, protocols    which server, and how it is asked
    process             starts it, or finds the one that runs
    load                the load generator, in a process of its own
    rounds, figures     the turns, and what is made of them
    report              tables and a document's section
"""
