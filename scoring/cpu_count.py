"""How many CPUs this process may use: what a container's limit leaves, not what the machine has.

A container with a quota of two CPUs on a machine of 64 sees all 64; a thread for each would be
stopped by the kernel in the middle of its work, for most of the time.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """The CPUs that the process may run on, at most its cgroup's quota (version 1 or 2) rounded up;
    at least 1."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(proc, cgroups))]))


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """The quota, in CPUs, of each cgroup that the process is in, up to the root; a group without
    one has none."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return []
    found: list[float | None] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            found += [_version2(group) for group in _upwards(cgroups, path)]
        elif "cpu" in controllers.split(","):
            found += [_version1(group) for group in _upwards(cgroups / "cpu", path)]
    return [quota for quota in found if quota]


def _upwards(root: Path, path: str) -> list[Path]:
    """The folders of a group and of those that it is in. In a container the path may be the host's,
    of which only the root shows."""
    inside = PurePosixPath(path.lstrip("/"))
    parts = [inside, *inside.parents] if ".." not in inside.parts else [PurePosixPath(".")]
    return [root / part for part in parts]


def _version2(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _version1(group: Path) -> float | None:
    return _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """None where there is no limit: 'max', -1, or no file."""
    numbers = quota.isdecimal() and period.isdecimal() and int(period) > 0
    return int(quota) / int(period) if numbers and int(quota) else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
