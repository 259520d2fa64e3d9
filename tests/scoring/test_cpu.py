"""The kind of a CPU, from what Linux tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring import cpu
from tests import tiny

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
def test_a_kind_is_read_from_the_flags(
    tmp_path: Path, flags: str, machine: str, expected: str | None
) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text(
        f"processor\t: 0\nvendor_id\t: X\n{flags}\nbugs\t\t: avx512_vnni\n\nprocessor\t:"
        f" 1\n{IVY_BRIDGE}\n"
    )
    assert cpu.kind(listed, machine) == expected


def test_no_list_is_no_kind(tmp_path: Path) -> None:
    assert cpu.kind(tmp_path / "absent", "AMD64") is None


def test_this_machine_is_of_a_known_kind_or_none() -> None:
    assert cpu.kind() in (*cpu.KINDS, None)


@pytest.mark.parametrize(
    ("made_for", "host", "said"),
    [
        ("avx512-vnni", "avx2", "this host's is avx2: answers may be less accurate than measured"),
        ("arm64", "avx512", "this host's is avx512: answers may be less accurate than measured"),
        ("avx2", "avx512-vnni", "this host's is avx512-vnni: it may be slower than measured"),
        ("avx2", "avx512", "it may be slower"),
        ("avx2", "avx2", None),
        (None, "avx2", None),
        ("avx2", None, None),
    ],
)
def test_a_graph_for_other_cpus_is_one_warning_at_load(
    made_for: str | None,
    host: str | None,
    said: str | None,
    *,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tiny.text_classification(tmp_path, precision="int8", cpu=made_for)
    scorer = scoring.load(folder, host_cpu=lambda: host)
    assert scorer.handle(scoring.Request(b'{"inputs": "good"}')).status == 200
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    if said is None:
        assert warnings == []
    else:
        (warning,) = warnings
        assert warning.startswith(f"model tiny-text was prepared in int8 for {made_for} CPUs")
        assert said in warning
        advised = "any" if "less accurate" in said else host
        assert warning.endswith(f"prepare it with --cpu {advised}")
