"""Runs inside the host's environment: the package's own server.py, as a user starts it."""

import os
import sys

if __name__ == "__main__":
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606
