"""Tune a model directory in place: nothing of it changes before the end, and then model_spec.json
alone, as a whole, with a section of report.md."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.scoring import cpu
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.golden import difference
from onnxferry.scoring.manifest import SPEC_FILE, TOLERANCE, ModelSpec
from onnxferry.scripts import sections
from onnxferry.scripts.prepare.report.document import REPORT_FILE
from onnxferry.scripts.prepare.selection.cpu_target import CpuTarget
from onnxferry.scripts.prepare.tuning import model_processes, record
from onnxferry.scripts.prepare.tuning.model_processes import ModelProcesses
from onnxferry.scripts.prepare.tuning.questions import Given, Questions, questions
from onnxferry.scripts.prepare.tuning.record import Tuning
from onnxferry.scripts.prepare.tuning.scenario import Scenario
from onnxferry.scripts.prepare.tuning.search import BUDGET, Contest, Search
from onnxferry.scripts.prepare.tuning.space import Changes, alternatives, differences
from onnxferry.system import console, files
from onnxferry.system.errors import PrepareError, UsageError

SECTION = "tuning"  # its name in report.md
FORMER_DEFAULTS = {"spin_duration_us": 10}
TUNED = "tuned"  # the key of the spec's provenance


def tune(folder: Path, scenario: Scenario, given: Given) -> Tuning:
    """Search the engine options of the model directory `folder` for `scenario`, and write them.
    Raises UsageError, PrepareError or BenchmarkError; then it is as it was."""
    began = time.monotonic()
    spec, before = _read(folder)
    cpus, fixed = cpu.available(), fixed_options(spec)
    base = replace(EngineOptions(), **fixed)
    with console.stage(f"tune for {scenario.name}, in up to {BUDGET:.0f} s") as progress:
        asked = _questions(folder, replace(spec, engine=base), given, scenario)
        scenario = model_processes.with_rate(scenario, folder, asked, base)
        settings = model_processes.settings(spec.task, scenario, cpus)
        start = ModelProcesses(folder, asked, settings).running
        tolerance = spec.golden.tolerance if spec.golden else TOLERANCE
        contest = Contest(start, scenario.kind.cost, partial(_differ, tolerance))
        left = BUDGET - (time.monotonic() - began)
        found = Search(contest, base, progress, left).run(alternatives(scenario.name, cpus, fixed))
    host = CpuTarget.of("here", cpu.kind()).record()
    done = Tuning(scenario, host, asked.what, asked.inputs, fixed, found)
    _write(folder, before, spec, done)
    return done


def _read(folder: Path) -> tuple[ModelSpec, bytes]:
    """The spec, and the bytes that it was read from."""
    try:
        return ModelSpec.read(folder), (folder / SPEC_FILE).read_bytes()
    except ModelError as e:
        raise UsageError(str(e)) from e


def fixed_options(spec: ModelSpec) -> Changes:
    """The engine options that were set by hand: not by an earlier tuning, nor as the default of an
    earlier version, which wrote them all into the spec."""
    own = {**FORMER_DEFAULTS, **spec.provenance.get(TUNED, {}).get("options", {})}
    found = differences(spec.engine)
    return {name: value for name, value in found.items() if own.get(name) != value}


def _questions(folder: Path, spec: ModelSpec, given: Given, scenario: Scenario) -> Questions:
    try:
        scorer = scoring.load(folder, {}, spec=spec)
    except ModelError as e:
        raise UsageError(str(e)) from e
    return questions(scorer, given, scenario, cpu.available())


def _differ(tolerance: float, expected: Any, answered: Any) -> str | None:
    return difference(list(expected), list(answered), tolerance)


def _write(folder: Path, before: bytes, spec: ModelSpec, done: Tuning) -> None:
    path, changes = folder / SPEC_FILE, {**done.fixed, **done.outcome.changes}
    if not path.is_file() or path.read_bytes() != before:
        raise PrepareError(f"{path} has changed while the model was tuned; tune it again")
    provenance = {**spec.provenance, TUNED: record.data(done)}
    engine = replace(EngineOptions(), **changes)
    with files.replacing(path) as fresh:
        fresh.write_text(
            replace(spec, engine=engine, provenance=provenance).to_json(), encoding="utf-8"
        )
    sections.replace(folder / REPORT_FILE, SECTION, record.markdown(done))
