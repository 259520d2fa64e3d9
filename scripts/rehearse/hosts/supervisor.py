"""Run a program (the arguments) and end its whole process group as soon as standard input closes.

The starter holds the other end of that pipe: however it ends, even by kill -9, the pipe closes.

With `--cut-off PORT` before the program, it runs in a network namespace of its own, which has a
loopback and nothing else; what comes to 127.0.0.1:PORT outside is relayed to that port inside.
With `--cut-off` alone, it only tries whether that can be made.

With `--writable FOLDER`, which may be repeated, no file but those below these folders can be
written; alone, without a folder, it only tries. With `--cgroup FOLDER` the program, and not this
one, is in that control group.
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
_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000  # <sched.h>
_BIND, _DEEP, _PRIVATE = 4096, 16384, 1 << 18  # <sys/mount.h>
_MOUNT_SETATTR, _HERE, _RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1  # Linux 5.12
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # <linux/sockios.h>, <net/if.h>


def watch() -> None:
    """Wait until standard input closes, then kill the group."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def cut_off() -> None:
    """Put this process, which may have one thread only, and all that it starts into an empty
    network. Raises OSError where the machine does not let it."""
    _separate(_NEW_NETWORK)
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, _GET_FLAGS, request)
        flags = struct.unpack_from("h", request, 16)[0]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _UP))
    _prove()


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]


def write_protect(writable: list[str]) -> None:
    """Let this process and all that it starts write nothing but what is below `writable`. Raises
    OSError where the machine does not let it."""
    _separate(_NEW_MOUNTS)
    _call("mount", b"none", b"/", None, _DEEP | _PRIVATE, None)
    for folder in writable:
        _call("mount", folder.encode(), folder.encode(), None, _BIND | _DEEP, None)
    _set(b"/", _RECURSIVE, _Attributes(_READ_ONLY))
    for folder in writable:
        _set(folder.encode(), 0, _Attributes(0, _READ_ONLY))


def _set(path: bytes, flags: int, wanted: _Attributes) -> None:
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    _call("syscall", _MOUNT_SETATTR, _HERE, path, flags, ctypes.byref(wanted), size)


def _separate(flags: int) -> None:
    """New namespaces; with one of users where this is not root, who needs none."""
    user, group = os.getuid(), os.getgid()
    try:
        _unshare(flags)
    except PermissionError:
        _unshare(_NEW_USER | flags)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _unshare(flags: int) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if call is None:
        raise OSError(errno.ENOSYS, f"{sys.platform} has no namespaces")
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


def _options(name: str, arguments: list[str]) -> tuple[list[str], list[str]]:
    """The values of an option at the front, which may be repeated, and what follows."""
    found: list[str] = []
    while arguments[:1] == [name]:
        found, arguments = [*found, arguments[1]], arguments[2:]
    return found, arguments


def _opened(groups: list[str]) -> list[int]:
    """What a process writes 0 to, to be in one of the control groups."""
    return [os.open(Path(group, "cgroup.procs"), os.O_WRONLY | os.O_CLOEXEC) for group in groups]


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit code; that of a signal is 128 more."""
    if arguments == ["--cut-off"]:
        cut_off()
        return 0
    if arguments == ["--writable"]:
        write_protect([])
        return 0
    group, arguments = _options("--cgroup", arguments)
    writable, arguments = _options("--writable", arguments)
    ports, arguments = _options("--cut-off", arguments)
    listeners = [socket.create_server(("127.0.0.1", int(port))) for port in ports]
    if listeners:
        cut_off()
    joined = _opened(group)  # before nothing can be written
    if writable:
        write_protect(writable)
    # while there is one thread
    child = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: [os.write(file, b"0") for file in joined],  # noqa: PLW1509
    )
    for listener in listeners:
        threading.Thread(target=relay, args=(listener,), daemon=True).start()
    threading.Thread(target=watch, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # not sys.exit, which waits for the thread that reads
    os._exit(main(sys.argv[1:]))
