"""Scoring processes behind the one HTTP process, and how they speak.

`frames` are the messages, `process` is the program of a scoring process, `worker` one such process
as the server sees it, and `backend` the WorkerBackend, which spreads requests over them, starts
another for one that died, and sends its requests again.
"""
