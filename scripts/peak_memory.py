"""The peak of memory of each step on the way from a source model to an answer.

    python -m scripts.peak_memory path/to/hf-model --target local --out FILE -- --variant fp32

What follows -- are flags of prepare. Each command runs in a process of its own. The peak is Linux's
VmHWM, reset at the end of each stage; it also counts what is mapped of files, such as weights.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from tempfile import TemporaryDirectory

import click

from onnxferry import scoring
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import sections, tables
from onnxferry.scripts.machine import machine
from onnxferry.system import console, options
from onnxferry.system.errors import UsageError
from onnxferry.system.options import FILE
from onnxferry.targets import TARGETS


@dataclass(frozen=True)
class Step:
    """One stage of a command: its peak in bytes and its time."""

    command: str
    stage: str
    peak: int
    seconds: float


class _Peaks(logging.Handler):
    """Notes the peak since the stage before at the end of each."""

    def __init__(self, command: str) -> None:
        super().__init__(logging.INFO)
        self.command, self.steps = command, list[Step]()
        self._began = time.monotonic()
        reset_peak()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == console.ENDED and isinstance(record.args, tuple):
            self.note(str(record.args[0]))

    def note(self, stage: str) -> None:
        seconds = time.monotonic() - self._began
        self.steps.append(Step(self.command, stage, peak(), seconds))
        console.err.print(f"    {stage}: peak {self.steps[-1].peak / 1e9:.2f} GB", markup=False)
        self._began = time.monotonic()
        reset_peak()


def peak() -> int:
    """The most memory that this process had since the last reset, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def reset_peak() -> None:
    """Let `peak` begin at what is in use now."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(
    source: str, flags: Sequence[str], targets: Sequence[str], work: Path
) -> tuple[list[Step], ModelSpec]:
    """The steps, and the spec of the model directory that is made as `work`/model; the packages for
    `targets` are made in `work`. Raises what the commands raise."""
    out = work / "model"
    steps = _apart(_run, ["prepare", source, "--out", str(out), *flags])
    for target in targets:
        steps += _apart(_run, ["package", str(out), "--target", target, "--out", str(work)])
    return steps + _apart(_answer, [str(out)]), ModelSpec.read(out)


def _apart(work: Callable[[list[str]], list[Step]], argv: list[str]) -> list[Step]:
    """The steps of `work` in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, argv).result()


def _run(argv: list[str]) -> list[Step]:
    log = logging.getLogger("onnxferry")
    log.setLevel(logging.INFO)
    name = " ".join(part for part in argv if part in ("prepare", "package", *TARGETS))  # no paths
    peaks = _Peaks(name)
    log.addHandler(peaks)
    run: click.Command = resolve_name(f"onnxferry.scripts.{argv[0]}.__main__:command")
    run.main(argv[1:], standalone_mode=False)
    return peaks.steps


def _answer(argv: list[str]) -> list[Step]:
    peaks = _Peaks("serve")
    scorer = scoring.load(Path(argv[0]))
    peaks.note("load the model")
    if scorer.spec.golden is None or scorer.handle(scorer.spec.golden.request).status != 200:
        raise UsageError(f"{argv[0]}: the golden request has no answer")
    peaks.note("answer the golden request")
    return peaks.steps


def whole(spec: ModelSpec) -> int:
    """The bytes of the graph in float32, as exported."""
    return int(spec.provenance["variants"][0]["size_bytes"])


def _table(steps: Sequence[Step], size: int) -> tuple[list[str], list[list[str]]]:
    rows = [
        [s.command, s.stage, f"{s.peak / 1e9:.2f}", f"{s.peak / size:.2f}", f"{s.seconds:.0f}"]
        for s in steps
    ]
    return ["command", "stage", "peak, GB", "of the file", "seconds"], rows


@options.command()
@click.argument("source")
@click.argument("flags", nargs=-1)
@click.option("--target", "targets", multiple=True, type=click.Choice(list(TARGETS)))
@click.option("--title", help="The section's title; by default the last part of SOURCE.")
@click.option("--out", type=FILE, help="A Markdown file: write or renew the section of this model.")
def command(
    source: str,
    flags: tuple[str, ...],
    targets: tuple[str, ...],
    title: str | None,
    out: Path | None,
) -> None:
    """Prepare, package and load SOURCE, with the flags of prepare behind --, and tell the peak of
    memory of each step."""
    if not Path("/proc/self/clear_refs").exists():
        raise UsageError("peaks are read from /proc, which only Linux has")
    (scratch := Path("build")).mkdir(exist_ok=True)
    with TemporaryDirectory(dir=scratch) as work:
        steps, spec = measure(source, flags, targets, Path(work))
    size, title = whole(spec), title or Path(source).name
    console.out.print(tables.terminal(title, *_table(steps, size)))
    if out:
        packed = "".join(f"--target {target} " for target in targets)
        what = f"{packed}-- {' '.join(flags)}"
        again = f"python -m scripts.peak_memory {Path(source).name} {what}"
        said = f"The graph has {size / 1e9:.2f} GB in float32; {spec.precision} was chosen."
        table = tables.markdown(*_table(steps, size))
        text = sections.section(title, again, f"{said} {machine()}.", table)
        sections.replace(out, f"memory of {title}", text)


if __name__ == "__main__":
    command()
