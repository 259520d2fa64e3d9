"""The innermost loops of ONNX Runtime's integer products for CPUs that qemu does not emulate, read
from the library that is installed here (x86-64, with binutils' objdump).

A loop is known by what it has: so many multiplications of a register's width, broadcasts of a
row's numbers, and instructions in all. A release with other loops is told, not guessed at.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

JUMP = re.compile(r"j(?!mp)\w+ +([0-9a-f]+)")
LEAVES = re.compile(r"j|call|ret")
LONGEST = 400  # instructions
COUNTED = re.compile(r"(?:\{vex\} )?(vfmadd231ps|vpmaddubsw|vpmaddwd|vpdpb\w+|tdpbusd) +(\wmm)")
BROADCAST = re.compile(r"v(?:p?)broadcast(?:d|ss) ")
EACH = {  # multiply-accumulates of one instruction on its widest register
    "vfmadd231ps ymm": 8,
    "vfmadd231ps zmm": 16,
    "vpmaddubsw ymm": 32,
    "vpmaddubsw zmm": 64,
    "vpmaddwd ymm": 16,
    "vpmaddwd zmm": 32,
    "vpdpbusd ymm": 32,
    "vpdpbusds zmm": 64,
    "vpdpbuud ymm": 32,
    "vpdpbssd ymm": 32,
    "tdpbusd tmm": 16 * 16 * 64,
}


@dataclass(frozen=True)
class Shape:
    """A loop: `times` the multiplication `by`, `broadcasts`, and `length` instructions in all."""

    by: str
    times: int
    broadcasts: int
    length: int

    @property
    def products(self) -> float:
        """Multiply-accumulates an instruction."""
        return self.times * EACH[self.by] / self.length


# CPU -> form of layers.py -> its loop. Pairs of 8-bit products are added in 16 bits by vpmaddubsw,
# which is why U8S8 takes 7 bits on those.
KERNELS: Mapping[str, Mapping[str, Shape]] = {
    "AVX2": {
        "float32": Shape("vfmadd231ps ymm", 48, 24, 92),
        "U8S8": Shape("vpmaddubsw ymm", 8, 4, 35),
        "U8U8": Shape("vpmaddwd ymm", 24, 12, 69),
    },
    "AVX2, AVX-VNNI": {
        "float32": Shape("vfmadd231ps ymm", 48, 24, 92),
        "U8S8": Shape("vpdpbusd ymm", 12, 6, 25),
        "U8U8": Shape("vpmaddwd ymm", 24, 12, 69),
    },
    "AVX2, AVX-VNNI-INT8": {
        "float32": Shape("vfmadd231ps ymm", 48, 24, 92),
        "U8S8": Shape("vpdpbusd ymm", 12, 6, 25),
        "U8U8": Shape("vpdpbuud ymm", 12, 6, 25),
        "S8S8": Shape("vpdpbssd ymm", 12, 6, 25),
    },
    "AVX-512": {
        "float32": Shape("vfmadd231ps zmm", 96, 48, 180),
        "U8S8": Shape("vpmaddubsw zmm", 72, 24, 257),
        "U8U8": Shape("vpmaddwd zmm", 18, 6, 50),
    },
    "AVX-512, VNNI": {
        "float32": Shape("vfmadd231ps zmm", 96, 48, 180),
        "U8S8": Shape("vpdpbusds zmm", 72, 24, 113),
        "U8U8": Shape("vpmaddwd zmm", 18, 6, 50),
    },
    "AVX-512, VNNI, AMX": {
        "float32": Shape("vfmadd231ps zmm", 96, 48, 180),
        "U8S8": Shape("tdpbusd tmm", 4, 0, 20),
        "U8U8": Shape("vpmaddwd zmm", 18, 6, 50),
    },
}


def missing(library: Path) -> list[str]:
    """The loops of KERNELS that the library does not have. Raises CalledProcessError, OSError
    without objdump or for a library that is none of x86-64."""
    found = set(shapes(_disassembled(library)))
    wanted = {(cpu, form): shape for cpu, by in KERNELS.items() for form, shape in by.items()}
    return [
        f"{cpu}: {form}: {shape}" for (cpu, form), shape in wanted.items() if shape not in found
    ]


def shapes(lines: Iterable[str]) -> Iterator[Shape]:
    """The shape of each innermost loop, of objdump's lines."""
    texts: list[str] = []
    index: dict[str, int] = {}
    for line in lines:
        address, tab, text = line.partition("\t")
        if tab and address.endswith(":"):
            index[address[:-1].strip()] = len(texts)
            texts.append(text.strip())
            jump = JUMP.match(text)
            start = index.get(jump.group(1)) if jump else None
            if start is not None and len(texts) - start <= LONGEST:
                yield from _shape(texts[start:])


def _shape(loop: list[str]) -> Iterator[Shape]:
    if any(LEAVES.match(text) for text in loop[:-1]):
        return
    counted = Counter(f"{m.group(1)} {m.group(2)}" for m in map(COUNTED.match, loop) if m)
    broadcasts = sum(bool(BROADCAST.match(text)) for text in loop)
    for by, times in counted.items():
        yield Shape(by, times, broadcasts, len(loop))


def _disassembled(library: Path) -> Iterator[str]:
    command = ("objdump", "-d", "-M", "intel", "--no-show-raw-insn", str(library))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield from process.stdout
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
