"""usage: limited.py GROUP PROGRAM [ARGUMENT ...]

Joins a memory cgroup, and becomes the program, which this Python runs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# the hierarchy's root, and the file with a group's limit, of cgroups version 1 and 2
_LIMITS = {
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",
    Path("/sys/fs/cgroup"): "memory.max",
}


@contextmanager
def memory_group(mebibytes: int) -> Iterator[Path | None]:
    """A group whose processes get so much memory, and are killed for more; None where this user or
    system makes none. It is gone after the block, in which its processes have to end."""
    group = next((group for group in map(_made, _LIMITS) if group), None)
    try:
        if group:
            (group / _LIMITS[group.parent]).write_text(str(mebibytes << 20))
        yield group
    finally:
        if group:
            _remove(group)


def _remove(group: Path) -> None:
    """The last of its processes may take a moment to be gone."""
    for _ in range(50):
        with suppress(OSError):
            return group.rmdir()
        time.sleep(0.1)
    return None


def _made(root: Path) -> Path | None:
    group = root / f"onnxferry-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        return None
    if (group / _LIMITS[root]).exists():
        return group
    group.rmdir()
    return None


if __name__ == "__main__":
    Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])  # noqa: S606
