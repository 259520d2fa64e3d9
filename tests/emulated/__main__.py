"""python -m tests.emulated: which int8 form is fastest on which CPU, as sections of a document.

Instructions are counted with qemu-user, a C compiler and objdump, on any x86-64 machine; --time
measures this machine, which should do nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state

from onnxferry.scripts import sections, tables
from onnxferry.scripts.machine import machine
from tests.emulated import counting, layers, loops
from tests.emulated.counting import Counted
from tests.emulated.machines import MACHINES

EXACT = 0.03  # a dynamic scale moves an answer by 0.02, an overflow by a tenth
LAYER = f"a linear layer ({layers.ROWS} tokens, {layers.SIZE} by {layers.SIZE})"


def innermost() -> str:
    """The table of the loops. Raises ClickException where the library has others."""
    if missing := loops.missing(Path(onnxruntime_pybind11_state.__file__)):
        raise click.ClickException(
            f"ONNX Runtime {onnxruntime.__version__} has other loops than KERNELS of"
            f" tests/emulated/loops.py: count these again: {'; '.join(missing)}"
        )
    forms = ("float32", "U8S8", "U8U8", "S8S8")
    rows = [
        [cpu, *(f"{by[form].products:.1f}" if form in by else "" for form in forms)]
        for cpu, by in loops.KERNELS.items()
    ]
    return tables.markdown(["innermost loop", *forms], rows)


def whole(counted: Mapping[str, Mapping[str, Counted]]) -> str:
    """The table of a layer on emulated CPUs: machine -> form -> what was counted."""
    rows = []
    for cpu, found in counted.items():
        figures = [f"{found[form].products:.1f}" for form in layers.FORMS]
        exact = "yes" if exact_in(found, "U8S8, 8 bits") else "no"
        rows.append([cpu, *figures, exact, f"{against_best(found):.2f}x"])
    columns = ("whole layer", *layers.FORMS, "U8S8, 8 bits, is exact", "`any` against the best")
    return tables.markdown(columns, rows)


def exact_in(found: Mapping[str, Counted], form: str) -> bool:
    """Whether the form's sums did not overflow: U8U8 never does."""
    right = found["U8U8, 8 bits"].answer
    return abs(found[form].answer - right) < EXACT * abs(right)


def against_best(found: Mapping[str, Counted]) -> float:
    """The speed of the form for any CPU, of that of the fastest one that is exact there."""
    exact = [form for form in layers.FORMS if "8 bits" in form and exact_in(found, form)]
    best = max(found[form].products for form in (layers.ANY, *exact))
    return found[layers.ANY].products / best


def timed(times: Mapping[str, Sequence[float]]) -> str:
    """The table of this machine: form -> least, median and most milliseconds."""
    any_ = times[layers.ANY][1]
    rows = [
        [form, f"{median:.2f} ({least:.2f} to {most:.2f})", f"{any_ / median:.2f}x"]
        for form, (least, median, most) in times.items()
    ]
    return tables.markdown(["form", "ms", "speed, of `any`"], rows)


def _counts(folder: Path) -> tuple[str, str, str]:
    graphs = layers.write(folder)
    try:
        machines = {name: make() for name, make in MACHINES.items()}
    except pytest.skip.Exception as e:
        raise click.ClickException(str(e)) from e
    counted = {name: counting.count(made, graphs, folder) for name, made in machines.items()}
    text = (
        f"onnxruntime {onnxruntime.__version__}. Multiply-accumulates for an instruction that runs:"
        " more is faster. First in the innermost loops of the library; then of all instructions of"
        f" {LAYER}, counted on emulated CPUs: quantising, packing and scaling are in it."
    )
    return "int8, by kind of CPU", "", "\n\n".join([text, innermost(), whole(counted)])


def _times(folder: Path) -> tuple[str, str, str]:
    figures = timed(counting.milliseconds(layers.write(folder)))
    text = (
        f"Milliseconds of {LAYER}, one thread, forms in turns, {counting.ROUNDS} rounds: median,"
        f" least and most. {machine()}; onnxruntime {onnxruntime.__version__}."
    )
    return "int8, on this kind of CPU", " --time", f"{text}\n\n{figures}"


@click.command()
@click.option("--time", is_flag=True, help="Measure this machine instead.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A Markdown file: write or renew the section.",
)
def main(time: bool, out: Path | None) -> None:
    """Tell which int8 form is fastest on which kind of CPU."""
    measure: Callable[[Path], tuple[str, str, str]] = _times if time else _counts
    with tempfile.TemporaryDirectory() as folder:
        title, flag, text = measure(Path(folder))
    click.echo(text)
    if out:
        command = f"python -m tests.emulated{flag}"
        sections.replace(out, title, sections.section(title, command, text))


if __name__ == "__main__":
    main()
