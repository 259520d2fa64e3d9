"""The doors to the clouds' SDKs: one file for each service, the only ones that import its library.

They are thin: sign in, call, and say in our own errors what went wrong.
"""
