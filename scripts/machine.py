"""The machine that figures were measured on, in a few words."""

from __future__ import annotations

import platform

from onnxferry.scoring import cpu

# that decide int8's speed
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def machine() -> str:
    """Such as: AMD EPYC, 2 CPUs, avx2 avx512f avx512_vnni, Linux 6.1, Python 3.11.7."""
    flags = cpu.flags()
    parts = (
        cpu.processor(),
        f"{cpu.available()} CPUs",
        " ".join(feature for feature in FEATURES if feature in flags),
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
    )
    return ", ".join(filter(None, parts))
