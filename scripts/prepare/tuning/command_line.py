"""prepare --tune: of the model directory that was made, or of one that is SOURCE itself. There is
no command of its own for it: what it needs, and what it writes, are prepare's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from onnxferry.scoring.manifest import SPEC_FILE
from onnxferry.scripts.prepare.report.document import REPORT_FILE
from onnxferry.scripts.prepare.tuning.questions import Given
from onnxferry.scripts.prepare.tuning.record import verdict, why
from onnxferry.scripts.prepare.tuning.scenario import Scenario
from onnxferry.scripts.prepare.tuning.search import BUDGET
from onnxferry.scripts.prepare.tuning.tune import tune
from onnxferry.system.errors import FerryError, UsageError

WITH_A_DIRECTORY = ("source", "tune", "data", "inputs")  # flags of prepare


def is_model_directory(source: str) -> bool:
    """Whether SOURCE is what prepare makes, and no model folder of Hugging Face's."""
    folder = Path(source)
    return (folder / SPEC_FILE).is_file() and not (folder / "config.json").is_file()


def check_alone(source: str) -> None:
    """Raise UsageError for a flag of the current command that makes a model."""
    context = click.get_current_context()
    for name in context.params:
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and name not in WITH_A_DIRECTORY:
            what = f"{source} is a model directory, which --tune changes in place"
            alone = "leave the flag out; --data and --inputs say what it is asked"
            raise UsageError(f"--{name.replace('_', '-')}: {what}: {alone}")


def check_not_tested(scenario: Scenario | None) -> None:
    """Raise UsageError: a test makes no model that could be tuned."""
    if scenario:
        raise UsageError("--test makes no model directory to --tune: leave one of them out")


def dry_lines(scenario: Scenario | None) -> Iterator[str]:
    """What --dry-run tells of it."""
    if scenario:
        yield f"{'tune':10} for {scenario}, on this host, in up to {BUDGET:.0f} s"


def lines(folder: Path, scenario: Scenario, flags: Mapping[str, Any]) -> Iterator[str]:
    """Tune `folder`, and tell what was found. Raises as `tune`, and says that the model is made."""
    try:
        found = tune(folder, scenario, Given(flags["data"], flags["inputs"]))
    except FerryError as e:
        again = f"The model directory is as it was; to tune it alone: prepare {folder} --tune ..."
        raise e.with_context(again) from e
    yield f"{folder}: {verdict(found)}"
    yield from why(found)
    yield f"report: {folder / REPORT_FILE}"
