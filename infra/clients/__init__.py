"""Clients of the clouds' services: one file for each SDK, the only one that imports it.

They are thin: sign in, call, and translate what goes wrong into our own errors.
"""
