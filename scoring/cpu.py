"""Which kind of CPU this is: int8 graphs are made for a kind, and lose accuracy or speed on
another."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Linux
_X86 = {  # kind -> what the kernel must list, the most able first
    "avx512-vnni": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
    "avx512": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
    "avx2": frozenset({"avx2", "fma"}),
}
KINDS = (*reversed(_X86), "arm64")


def kind(cpuinfo: Path = CPUINFO, machine: str | None = None) -> str | None:
    """One of KINDS; None where it cannot be told (not Linux) or is none of them (an x86 without
    AVX2).

    AVX-VNNI without AVX-512, as desktop CPUs have it, counts as avx2: what is made for avx2 is
    exact on all of them. `machine` is platform.machine()'s word for the architecture.
    """
    if (machine or platform.machine()).lower() in ("arm64", "aarch64"):
        return "arm64"
    flags = _flags(cpuinfo)
    return next((name for name, needs in _X86.items() if needs <= flags), None)


def saturates(kind: str) -> bool:
    """Whether the int8 products of CPUs of this kind are added in pairs in 16 bits, where weights
    of the full range overflow: so graphs made for it use 7 of the 8 bits."""
    return kind in ("avx2", "avx512")


def _flags(cpuinfo: Path) -> frozenset[str]:
    """What the first processor of the list can do."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return next(
        (frozenset(value.split()) for key, _, value in lines if key.strip() == "flags"), frozenset()
    )
