"""The local server: one or several model directories on your own machine, VM or container.

One HTTP process parses requests, checks and queues them; a Backend scores them, in threads here or
in processes behind it. `command` reads flags and a file into a ServerConfig, `app` makes the
application of it, `routes` hold the protocols' paths and `forms` their bodies.
"""
