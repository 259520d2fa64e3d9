"""How `python -m tests.emulated` reads loops, and what it says of forms; and that the loops it has
in its table are those of the library that is installed."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from onnxruntime.capi import onnxruntime_pybind11_state

from tests.emulated import layers, loops
from tests.emulated.__main__ import against_best, exact_in, timed, whole
from tests.emulated.counting import Counted
from tests.emulated.loops import Shape

LISTING = """
0000000000001000 <start>:
    1000:\tmov    rbp,rcx
    1003:\tvmovdqu ymm0,YMMWORD PTR [rsi]
    1007:\tvpbroadcastd ymm2,DWORD PTR [rdi]
    100c:\tvpmaddubsw ymm3,ymm2,ymm0
    1011:\tvpmaddwd ymm3,ymm3,ymm12
    1016:\tvpaddd ymm5,ymm5,ymm3
    101a:\tsub    rbp,0x4
    101e:\tjne    1003 <start+0x3>
    1020:\t{vex} vpdpbusd ymm4,ymm2,ymm0
    1026:\tje     1003 <start+0x3>
    1028:\tjmp    1000 <start>
"""


def found(**answers: tuple[int, float]) -> Mapping[str, Counted]:
    """A layer whose forms take as many instructions, and answer so."""
    usual = dict.fromkeys(layers.FORMS, Counted(10_000_000, 300.0))
    names = {form.replace(", ", "_").replace(" ", "_"): form for form in layers.FORMS}
    return usual | {names[name]: Counted(*counted) for name, counted in answers.items()}


def test_innermost_loops_are_found_by_what_is_in_them() -> None:
    once = [Shape("vpmaddubsw ymm", 1, 1, 7), Shape("vpmaddwd ymm", 1, 1, 7)]
    assert list(loops.shapes(LISTING.splitlines())) == once
    assert once[0].products == 32 / 7


def test_a_form_whose_sums_overflow_is_not_the_best_however_fast() -> None:
    overflown = found(U8S8_8_bits=(5_000_000, 270.0))
    assert not exact_in(overflown, "U8S8, 8 bits")
    assert against_best(overflown) == 1
    exact = found(U8S8_8_bits=(5_000_000, 300.1))
    assert exact_in(exact, "U8S8, 8 bits")
    assert against_best(exact) == 0.5


def test_tables() -> None:
    assert "| AVX2 | 7.5 | 7.5 | 7.5 | 7.5 | 7.5 | 7.5 | yes | 1.00x |" in whole({"AVX2": found()})
    ms = dict.fromkeys(layers.FORMS, (1.0, 2.0, 4.0)) | {layers.ANY: (1.0, 1.0, 1.0)}
    assert "| float32 | 2.00 (1.00 to 4.00) | 0.50x |" in timed(ms)


@pytest.mark.emulated
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64's library")
@pytest.mark.skipif(not shutil.which("objdump"), reason="needs objdump: apt-get install binutils")
def test_the_library_has_the_loops_of_the_table() -> None:
    assert not loops.missing(Path(onnxruntime_pybind11_state.__file__))
