"""The machine in a few words: what a figure is worth nothing without."""

from __future__ import annotations

import platform
from pathlib import Path

from onnxferry.scoring import cpu, cpu_count

# that decide int8's speed
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def machine() -> str:
    """Such as: AMD EPYC, 2 CPUs, avx2 avx512f avx512_vnni, Linux 6.1, Python 3.11.7."""
    flags = set(_read(cpu.CPUINFO).split())
    parts = (
        processor(),
        f"{cpu_count.available()} CPUs",
        " ".join(feature for feature in FEATURES if feature in flags),
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
    )
    return ", ".join(part for part in parts if part)


def processor(cpuinfo: Path = cpu.CPUINFO) -> str:
    """The name of the CPU, as its maker says it where that can be read."""
    lines = _read(cpuinfo).splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _read(cpuinfo: Path) -> str:
    try:
        return cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # no Linux
        return ""
