"""Run a program (the arguments) and end its whole process group as soon as standard input closes.

The starter holds the other end of that pipe: however it ends, even by kill -9, the pipe closes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def watch() -> None:
    """Wait until standard input closes, then kill the group."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    # not sys.exit, which waits for the thread that reads
    os._exit(code if code >= 0 else 128 - code)
