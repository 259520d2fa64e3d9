"""How many instructions an emulated CPU runs for a linear layer in each form, and how long this
machine's takes."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.emulated import layer, layers
from tests.emulated.machines import Emulated

HERE = Path(__file__).parent
ROUNDS = 100


@dataclass(frozen=True)
class Counted:
    """Of one run of a layer: its instructions, and the sum of its answer."""

    instructions: int
    answer: float

    @property
    def products(self) -> float:
        """Multiply-accumulates an instruction, of all that the layer runs."""
        return layers.PRODUCTS / self.instructions


def plugin(folder: Path) -> Path:
    """count.c, compiled. Raises CalledProcessError, OSError without a compiler."""
    made = folder / "count.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(HERE / "count.c")]
    subprocess.run(command, check=True)
    return made


def count(machine: Emulated, graphs: Mapping[str, Path], folder: Path) -> dict[str, Counted]:
    """Form -> what its graph takes on the machine."""
    asked = folder / "graphs.json"
    asked.write_text(json.dumps({form: str(path) for form, path in graphs.items()}))
    *counts, answers = machine.run(HERE / "layer.py", str(asked), plugin=plugin(folder)).split("\n")
    ends = [int(line) for line in counts]
    return {
        form: Counted(after - before, answer)
        for before, after, (form, answer) in zip(
            ends[::2], ends[1::2], json.loads(answers).items(), strict=True
        )
    }


def milliseconds(graphs: Mapping[str, Path]) -> dict[str, tuple[float, float, float]]:
    """Form -> least, median and most time of a run on this machine, by one thread, in turns."""
    runs = {form: layer.started(str(graph)) for form, graph in graphs.items()}
    seen: dict[str, list[float]] = {form: [] for form in runs}
    for _ in range(ROUNDS):
        for form, run in runs.items():
            began = time.perf_counter()
            run()
            seen[form].append((time.perf_counter() - began) * 1000)
    return {form: (min(ms), statistics.median(ms), max(ms)) for form, ms in seen.items()}
