"""The command `compare`: how a shadow answers the requests that the live version answers.

onnxferry deploy --target sagemaker --set rollout.shadow=20     # azureml: rollout.mirror=20
onnxferry compare --target sagemaker
onnxferry compare --target sagemaker --min-agreement 0.99 --max-slower 1.5    # for a pipeline
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import shadowing

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Shadowed
    from onnxferry.infra.comparison import ComparisonReport
    from onnxferry.scoring.manifest import ModelSpec

_HOURS = "Only what was captured in so many hours; default: since the shadow was made."
_LIMIT = "Requests that are compared at most: the newest."
_TOLERANCE = "How far off a number may be; default: what the model records."
_SHOW = "Show request and answers of so many that differ, as they are."
_AGREEMENT = "Least part of the answers, 0 to 1, that must agree, else exit code 1."
_SLOWER = "Most times that the p95 latency may be that of the live version, else exit code 1."


@dataclass(frozen=True)
class ShadowLimits:
    """What the caller asks of a shadow (None: anything)."""

    min_agreement: float | None
    max_slower: float | None

    def broken(self, found: ComparisonReport) -> list[str]:
        """What the report does not keep, in lines."""
        said = []
        if self.min_agreement is not None and found.agreement < self.min_agreement:
            least = f"{self.min_agreement:.1%} (--min-agreement)"
            said.append(f"{found.agreement:.1%} of the answers agree, fewer than {least}")
        if self.max_slower is not None and found.slower is None:
            said.append("the latency is not known, and --max-slower asks for it")
        elif self.max_slower is not None and found.slower and found.slower > self.max_slower:
            most = f"{self.max_slower:g} (--max-slower)"
            said.append(
                f"its p95 latency is {found.slower:.2f} times the live one, more than {most}"
            )
        return said


@options.command()
@options.apply(
    options.target(shadowing()),
    options.model,
    options.name,
    options.config,
    options.settings,
    options.output,
)
@click.option("--hours", type=click.FloatRange(0, min_open=True), help=_HOURS)
@click.option("--limit", default=1000, type=click.IntRange(1, 100_000), help=_LIMIT)
@click.option("--tolerance", type=click.FloatRange(0), help=_TOLERANCE)
@click.option("--show", default=0, type=click.IntRange(0, 1000), help=_SHOW)
@click.option("--min-agreement", type=click.FloatRange(0, 1), help=_AGREEMENT)
@click.option("--max-slower", type=click.FloatRange(0, min_open=True), help=_SLOWER)
def compare(hours: float | None, limit: int, output: str, **flags: Any) -> None:
    """Report how a shadow answers, and how fast, beside the live version: a new version that gets a
    copy of the requests (rollout.shadow of deploy.toml, on AzureML rollout.mirror), by the
    captured data. Changes nothing. Exit code 1 where there is nothing to compare yet, or a limit
    that was asked for is not kept."""
    from onnxferry.infra import comparison, comparison_text

    limits = ShadowLimits(flags.pop("min_agreement"), flags.pop("max_slower"))
    tolerance, show = flags.pop("tolerance"), flags.pop("show")
    given = CommandOptions(out=Path("build"), python=None, **flags)
    cloud: Shadowed = given.connected()
    traffic = cloud.shadow_traffic(_since(hours), limit)
    rules = comparison.AnswerRules.of(_spec(given), tolerance)
    found = comparison.compare(traffic, rules, show)
    comparison_text.show(found, output)
    _end(found, limits)


def _since(hours: float | None) -> datetime | None:
    return None if hours is None else datetime.now(timezone.utc) - timedelta(hours=hours)


def _spec(given: CommandOptions) -> ModelSpec | None:
    """The model's manifest, which says the task; None where no model directory is here."""
    from onnxferry.scoring.manifest import SPEC_FILE, ModelSpec

    try:
        folder = given.folder
    except UsageError:  # there is none, or there are several
        return None
    return ModelSpec.read(folder) if given.model or (folder / SPEC_FILE).is_file() else None


def _end(found: ComparisonReport, limits: ShadowLimits) -> None:
    """Exit code 1 where the shadow does not prove itself."""
    if not found.pairs:
        click.echo(_nothing(found), err=True)
        sys.exit(1)
    if broken := limits.broken(found):
        click.echo("; ".join(broken), err=True)
        sys.exit(1)


def _nothing(found: ComparisonReport) -> str:
    """Why no answers were compared, and what next."""
    if not found.shadow.captured:
        return (
            "nothing to compare yet: the shadow has no captured answer. Captured data arrives some"
            f" minutes after the requests; send some ({program('invoke')}), and run this again"
        )
    return (
        "nothing to compare: no request was captured of both versions. Set capture.percent = 100,"
        " and where capture.redact is true let clients send an id with each request (SageMaker:"
        " InferenceId; AzureML: x-request-id)"
    )
