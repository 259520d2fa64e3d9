"""The machine in a few words: what a figure is worth nothing without."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")  # that decide int8's speed


def machine() -> str:
    """Such as: AMD EPYC, 2 CPUs, avx2 avx512f avx512_vnni, Linux 6.1, Python 3.11.7."""
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(text.split())
    parts = (
        name.group(1) if name else platform.processor() or platform.machine(),
        f"{cpus()} CPUs",
        " ".join(feature for feature in FEATURES if feature in flags),
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
    )
    return ", ".join(part for part in parts if part)


def cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
