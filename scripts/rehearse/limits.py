"""The memory and the file system that a rehearsed host has, where a platform gives it less than
this machine does, as serverless containers."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from onnxferry.scripts.rehearse.processes import SUPERVISOR

CGROUPS = Path("/sys/fs/cgroup")
WHOLE = "all but temporary folders"


@dataclass(frozen=True)
class MemoryLimit:
    """At most so many MB (of 2**20 bytes) for all processes together; 0: no limit. With a control
    group `group` the kernel holds it, and ends what goes over; else its peak is compared."""

    mb: int = 0
    group: Path | None = None
    why: str = ""  # there is no control group

    @property
    def said(self) -> str:
        """For people."""
        if not self.mb:
            return ""
        by = "held by a control group" if self.group else f"compared, not held: {self.why}"
        return f"at most {self.mb} MB ({by})"

    @property
    def front(self) -> tuple[str, ...]:
        """What the supervisor is told."""
        return ("--cgroup", str(self.group)) if self.group else ()

    def broken(self, peak_mib: float) -> str:
        """How the limit was not kept, by the processes' memory at its peak; "" where it was."""
        if self.group and (ended := _ended(self.group)):
            return f"the kernel ended {ended} of its processes at the limit of {self.mb} MB"
        if self.mb and peak_mib > self.mb:
            return f"its processes took {peak_mib:.0f} MB together, and the limit is {self.mb} MB"
        return ""


@dataclass(frozen=True)
class FileSystem:
    """`read_only`: but for the folders that a rehearsal gives a host for temporary files and its
    own logs. Without a namespace, the package's files alone lose their permission to be written."""

    read_only: bool = False
    why: str = ""  # there is no namespace

    @property
    def said(self) -> str:
        """For people."""
        if not self.read_only:
            return ""
        return f"the package's alone: {self.why}" if self.why else WHOLE

    def front(self, *writable: Path) -> tuple[str, ...]:
        """What the supervisor is told of the folders that stay writable."""
        if not self.read_only or self.why:
            return ()
        return tuple(word for path in writable for word in ("--writable", str(path)))

    @contextmanager
    def applied(self, *folders: Path) -> Iterator[None]:
        """In the block, nothing in `folders` may be written, where no namespace does it."""
        modes = {}
        if self.read_only and self.why:
            modes = {path: path.stat().st_mode for folder in folders for path in _below(folder)}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)


def _below(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]


@dataclass(frozen=True)
class Limits:
    """Both; by default none."""

    memory: MemoryLimit = field(default_factory=MemoryLimit)
    files: FileSystem = field(default_factory=FileSystem)


@contextmanager
def limited(memory_mb: int, read_only: bool, root: Path = CGROUPS) -> Iterator[Limits]:
    """The best limits that this machine lets be set, for as long as the block runs."""
    files = FileSystem(read_only, refusal() if read_only else "")
    with _memory(memory_mb, root) as memory:
        yield Limits(memory, files)


def refusal() -> str:
    """Why this machine lets no program have a read-only file system; "" where it does."""
    probe = [sys.executable, "-ES", str(SUPERVISOR), "--writable"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]


@contextmanager
def _memory(mb: int, root: Path) -> Iterator[MemoryLimit]:
    if not mb:
        yield MemoryLimit()
        return
    try:
        group = _group(mb << 20, root)
    except OSError as e:
        yield MemoryLimit(mb, why=f"no control group can be made ({e.strerror or e})")
        return
    try:
        yield MemoryLimit(mb, group)
    finally:
        with suppress(OSError):
            group.rmdir()


def _group(limit: int, root: Path) -> Path:
    """A new control group with `limit` bytes: of version 1, where the machine has that, or 2.
    Raises OSError."""
    first = (root / "memory" / "memory.limit_in_bytes").is_file()
    group = (root / "memory" if first else root) / f"onnxferry-{uuid.uuid4().hex[:12]}"
    group.mkdir()
    try:
        _write(group / ("memory.limit_in_bytes" if first else "memory.max"), str(limit))
    except OSError:
        group.rmdir()
        raise
    swap = ("memory.memsw.limit_in_bytes", str(limit)) if first else ("memory.swap.max", "0")
    with suppress(OSError):  # a machine without swap accounting
        _write(group / swap[0], swap[1])
    return group


def _write(file: Path, text: str) -> None:
    """To a file of the kernel's, which must be there: a plain folder is no control group."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _ended(group: Path) -> int:
    """How many processes the kernel has ended for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            words = (group / name).read_text().split()
            return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0))
    return 0
