"""usage: container.py ROOT USER FOLDER OPTIONS WORD...

Runs a command as a container runtime does, by Linux's namespaces alone: ROOT is the root of its
file system, which has besides, to read only, this machine's libraries and this Python, in place of
an image's base; the user's number is USER, without capabilities or a way to new ones; it is process
1 and works in FOLDER. OPTIONS: "build" leaves ROOT writable and has no network; "run" leaves only
/dev/shm writable, as runtimes do. With "probe" alone, it only tries whether that can be made.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

_MOUNTS, _IPC, _USER, _PIDS, _NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_BIND, _DEEP, _PRIVATE, _NOSUID, _NODEV = 4096, 16384, 1 << 18, 2, 4  # <sys/mount.h>
_MOUNT_SETATTR, _HERE, _RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1  # Linux 5.12
_WITH_PARENT, _DROP_BOUND, _NO_NEW = 1, 24, 38  # <sys/prctl.h>
_BASE = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/sys", "/dev")
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def separate(user: int, flags: int) -> None:
    """Put this process's children into namespaces of their own, where the user is `user`: by a
    namespace of users where this is not root's."""
    mine, group = os.getuid(), os.getgid()
    if mine == 0:
        _call("unshare", flags)
        return
    _call("unshare", flags | _USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {mine} 1")
    Path("/proc/self/gid_map").write_text(f"{user} {group} 1")


def enter(root: Path, writable: bool) -> None:
    """Make `root` the root of the file system. Raises OSError where the machine does not let it."""
    os.umask(0o022)
    _mount("none", Path("/"), _DEEP | _PRIVATE)
    _mount(str(root), root, _BIND)
    own = (name for name in (sys.prefix, sys.base_prefix) if not name.startswith("/usr"))
    for name in (*_BASE, *own):
        _lend(Path(name), root)
    (root / "proc").mkdir(exist_ok=True)
    try:
        _mount("proc", root / "proc", _NOSUID | _NODEV, b"proc")
    except PermissionError:  # in a container whose own is masked
        _mount("/proc", root / "proc", _BIND | _DEEP)
    if not writable:
        _read_only(root, 0)
    if (root / "dev" / "shm").is_dir():
        _mount("shm", root / "dev" / "shm", _NOSUID | _NODEV, b"tmpfs", b"mode=1777,size=64m")
    os.chroot(root)


def _lend(path: Path, root: Path) -> None:
    """Let `path` of this machine be read below `root`."""
    inside = root / str(path)[1:]
    if path.is_symlink():  # as /bin is, where all is in /usr
        if not inside.is_symlink():
            inside.symlink_to(path.readlink())
    elif path.is_dir():
        inside.mkdir(parents=True, exist_ok=True)
        _mount(str(path), inside, _BIND | _DEEP)
        _read_only(inside, _RECURSIVE)


def _mount(source: str, path: Path, flags: int, kind: bytes = b"", data: bytes = b"") -> None:
    _call("mount", source.encode(), str(path).encode(), kind or None, flags, data or None)


def _read_only(path: Path, flags: int) -> None:
    wanted = _Attributes(_READ_ONLY)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    where = (_HERE, str(path).encode(), flags)
    _call("syscall", _MOUNT_SETATTR, *where, ctypes.byref(wanted), size)


def become(user: int) -> None:
    """Give up every privilege, for good; and end when what started this ends, however it does."""
    for capability in range(64):
        if _libc.prctl(_DROP_BOUND, capability, 0, 0, 0):
            break  # the kernel has no more
    if os.getuid() != user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    _call("prctl", _NO_NEW, 1, 0, 0, 0)
    _call("prctl", _WITH_PARENT, int(signal.SIGKILL), 0, 0, 0)


def main(root: Path, user: int, folder: str, options: str, command: list[str]) -> int:
    """Run `command`, and return its exit code; that of a signal is 128 more."""
    separate(user, _IPC | _PIDS | (_NETWORK if options == "build" else 0))
    child = os.fork()
    if child == 0:
        _become_process_1(root, user, folder, options, command)
    # what is sent to the group reaches the command itself
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


def _become_process_1(
    root: Path, user: int, folder: str, options: str, command: list[str]
) -> NoReturn:
    """Never returns, so that no caller's clean-up runs where this machine's folders are mounted."""
    try:
        _call("unshare", _MOUNTS)  # not before the fork: who removes `root` must not see them
        enter(root, writable=options == "build")
        become(user)
        os.chdir(folder)
        os.execvp(command[0], command)  # noqa: S606
    except BaseException as e:
        os.write(2, f"{type(e).__name__}: {e}\n".encode())
        os._exit(126)


def probe() -> int:
    """Whether it can be made, by `true` in an empty folder."""
    with tempfile.TemporaryDirectory() as empty:
        Path(empty).chmod(0o755)
        return main(Path(empty), 10001, "/", "run", ["true"])


if __name__ == "__main__":
    if sys.argv[1:] == ["probe"]:
        sys.exit(probe())
    root, user, folder, options, *command = sys.argv[1:]
    sys.exit(main(Path(root), int(user), folder, options, command))
