"""The kind of a CPU, from what Linux tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoring import cpu

ZEN3 = "flags\t\t: fpu sse2 ssse3 fma sse4_1 avx f16c bmi1 avx2 bmi2 erms vaes"
ALDER_LAKE = ZEN3 + " avx_vnni"
SKYLAKE = ZEN3 + " avx512f avx512dq avx512cd avx512bw avx512vl"
ICE_LAKE = SKYLAKE + " avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg"
IVY_BRIDGE = "flags\t\t: fpu sse2 ssse3 sse4_1 avx f16c"
GRAVITON = "Features\t: fp asimd aes sha1 asimdhp asimddp sve i8mm bf16"


@pytest.mark.parametrize(
    ("flags", "machine", "expected"),
    [
        (ZEN3, "x86_64", "avx2"),
        (ALDER_LAKE, "x86_64", "avx2"),
        (SKYLAKE, "x86_64", "avx512"),
        (ICE_LAKE, "x86_64", "avx512-vnni"),
        (IVY_BRIDGE, "x86_64", None),
        (GRAVITON, "aarch64", "arm64"),
        ("", "arm64", "arm64"),
        ("", "x86_64", None),
    ],
)
def test_a_kind_is_read_from_the_flags(tmp_path: Path, flags: str, machine: str, expected: str | None) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(
        f"processor\t: 0\nvendor_id\t: X\n{flags}\nbugs\t\t: avx512_vnni\n\nprocessor\t: 1\n{IVY_BRIDGE}\n"
    )
    assert cpu.kind(listed, machine) == expected


def test_no_list_is_no_kind(tmp_path: Path) -> None:
    assert cpu.kind(tmp_path / "absent", "AMD64") is None


def test_this_machine_is_of_a_known_kind_or_none() -> None:
    assert cpu.kind() in (*cpu.KINDS, None)
