"""The host's CPU: its kind (int8 graphs are made for one, and lose accuracy or speed on another),
its name, and how many this process may use, by its container's quota."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

CPUINFO = Path("/proc/cpuinfo")  # Linux
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
# kind -> the flags that it needs, the most able kind first
_X86 = {"avx512-vnni": {*_AVX512, "avx512_vnni"}, "avx512": _AVX512, "avx2": {"avx2", "fma"}}
KINDS = (*reversed(_X86), "arm64")


def kind(cpuinfo: Path = CPUINFO, machine: str | None = None) -> str | None:
    """One of KINDS; None for an unknown one (not Linux, or without AVX2). AVX-VNNI without AVX-512
    is avx2, for which int8 graphs are exact there. `machine` is as of platform.machine()."""
    if (machine or platform.machine()).lower() in ("arm64", "aarch64"):
        return "arm64"
    found = flags(cpuinfo)
    return next((name for name, needs in _X86.items() if needs <= found), None)


def saturates(kind: str) -> bool:
    """Whether these CPUs add pairs of int8 products in 16 bits, which overflow with full-range
    weights: graphs for them use 7 bits."""
    return kind in ("avx2", "avx512")


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The instruction sets of the first processor, as Linux names them; empty elsewhere."""
    return frozenset((_value(cpuinfo, "flags") or _value(cpuinfo, "Features")).split())


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The CPU's name, or else the architecture."""
    return _value(cpuinfo, "model name") or platform.processor() or platform.machine()


def _value(cpuinfo: Path, key: str) -> str:
    lines = (line.partition(":") for line in _read(cpuinfo).splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def available(proc: Path = PROC, cgroups: Path = CGROUPS, system: Any = os) -> int:
    """How many CPUs the process may use, by its affinity and its cgroups' quota, rounded up."""
    if hasattr(system, "sched_getaffinity"):
        allowed = len(system.sched_getaffinity(0))
    else:
        allowed = system.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(proc, cgroups))]))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """The quotas, in CPUs, of the cgroups that the process is in, up to the root."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "cpu" in controllers.split(","):
            root = cgroups / "cpu" if controllers else cgroups
            yield from filter(None, map(_quota, _upwards(root, path)))


def _upwards(root: Path, path: str) -> list[Path]:
    """The folders of a group and its parents: the root alone where the path is the host's."""
    inside = PurePosixPath(path.lstrip("/"))
    parts = [inside, *inside.parents] if ".." not in inside.parts else [PurePosixPath(".")]
    return [root / part for part in parts]


def _quota(group: Path) -> float | None:
    """None where there is no limit: 'max', -1, or no file."""
    version1 = [_read(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    quota, period = (*(_read(group / "cpu.max").split() or version1), "")[:2]
    limited = quota.isdecimal() and period.isdecimal() and int(period)
    return int(quota) / int(period) if limited else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
