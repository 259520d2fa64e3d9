"""Run a program (the arguments) and end its whole process group as soon as standard input closes.

The starter holds the other end of that pipe: however it ends, even by kill -9, the pipe closes.

With `--cut-off PORT` before the program, it runs in a network namespace of its own, which has a
loopback and nothing else; what comes to 127.0.0.1:PORT outside is relayed to that port inside.
With `--cut-off` alone, it only tries whether that can be made.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

OUTSIDE = ("192.0.2.1", 9)  # of the addresses that are kept for documents
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # <sched.h>
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # <linux/sockios.h>, <net/if.h>


def watch() -> None:
    """Wait until standard input closes, then kill the group."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def cut_off() -> None:
    """Put this process, which may have one thread only, and all that it starts into an empty
    network. Raises OSError where the machine does not let it."""
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_NEW_NETWORK)
    except PermissionError:  # not root, who needs no namespace of users
        _unshare(_NEW_USER | _NEW_NETWORK)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, _GET_FLAGS, request)
        flags = struct.unpack_from("h", request, 16)[0]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _UP))
    _prove()


def _unshare(flags: int) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if call is None:
        raise OSError(errno.ENOSYS, f"{sys.platform} has no network namespaces")
    if call(flags):
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")


def _prove() -> None:
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect(OUTSIDE)
        except OSError as e:
            if e.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                return
    raise OSError(errno.EIO, f"{OUTSIDE[0]} can be reached from the new network namespace")


def relay(listener: socket.socket) -> None:
    """Connect what comes to `listener`, a socket of the network outside, to the same port here."""
    while True:
        outside, _ = listener.accept()
        threading.Thread(target=_join, args=(outside, listener.getsockname()), daemon=True).start()


def _join(outside: socket.socket, address: tuple[str, int]) -> None:
    with outside, suppress(OSError), socket.create_connection(address) as inside:
        for one in (outside, inside):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_pump, args=(inside, outside), daemon=True)
        back.start()
        _pump(outside, inside)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit code; that of a signal is 128 more."""
    if arguments == ["--cut-off"]:
        cut_off()
        return 0
    if arguments[0] == "--cut-off":
        listener = socket.create_server(("127.0.0.1", int(arguments[1])))
        cut_off()
        threading.Thread(target=relay, args=(listener,), daemon=True).start()
        arguments = arguments[2:]
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # not sys.exit, which waits for the thread that reads
    os._exit(main(sys.argv[1:]))
