"""python -m tests.fuzz: a long run, or one request of it again."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from pathlib import Path

import click

from onnxferry.scripts import sections
from tests.fuzz.models import NAMES
from tests.fuzz.run import Case, Outcome, fuzz, scorers

GROWTH = 100  # MiB


@click.command()
@click.option(
    "--requests",
    default=100_000,
    show_default=True,
    type=click.IntRange(1),
    help="How many, over all tasks.",
)
@click.option("--seed", type=int, help="By default another one each time; it is printed.")
@click.option("--model", "names", multiple=True, type=click.Choice(NAMES), help="By default all.")
@click.option(
    "--only",
    type=int,
    help="Send request number ONLY of --seed and --model alone, and print its answer.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A Markdown file: write or renew its section.",
)
def main(
    requests: int, seed: int | None, names: tuple[str, ...], only: int | None, out: Path | None
) -> None:
    """Send mutated requests to tiny models of every task, and check every answer."""
    seed = secrets.randbelow(2**31) if seed is None else seed
    with tempfile.TemporaryDirectory() as folder:
        models = scorers(Path(folder), names or NAMES)
        if only is not None:
            for name, model in models.items():
                request = Case(seed, name, only).request(model)
                click.echo(f"{name}: {request!r}\n{model.handle(request)!r}")
            return
        click.echo(f"seed {seed}, models: {', '.join(models)}")
        began = time.monotonic()
        outcome = fuzz(models, requests, seed)
    click.echo(describe(outcome))
    click.echo(f"{time.monotonic() - began:.0f} s")
    if out and not outcome.failures:
        sections.replace(out, "fuzz", markdown(outcome, seed))
    sys.exit(bool(outcome.failures) or outcome.growth > GROWTH)


def describe(outcome: Outcome) -> str:
    """What came out, and how each failure is made again."""
    lines = [f"{outcome.requests:,} requests, {len(outcome.failures)} failure(s)"]
    for task in sorted({task for task, _ in outcome.statuses}):
        counts = {
            status: n for (name, status), n in sorted(outcome.statuses.items()) if name == task
        }
        lines.append(
            f"  {task:32} " + "  ".join(f"{status}: {n:,}" for status, n in counts.items())
        )
    lines.append("  codes " + ", ".join(f"{code} {n:,}" for code, n in outcome.codes.most_common()))
    lines.append(
        f"  resident memory after the warm-up {outcome.growth:+.1f} MiB (at most {GROWTH})"
    )
    lines.append(f"  slowest: {outcome.slowest[0]:.2f} s, {_again(outcome.slowest[1])}")
    for failure in outcome.failures:
        lines.append(f"FAILED {failure.case.model}: {failure.problem}")
        lines += [f"  again: {_again(failure.case)}", f"  smallest: {failure.request!r}"[:3000]]
    return "\n".join(lines)


def markdown(outcome: Outcome, seed: int) -> str:
    """The section of a document: what was sent and what came back, by task and status."""
    statuses = sorted({status for _, status in outcome.statuses})
    rows = [["model", *map(str, statuses)], ["---", *["---:"] * len(statuses)]]
    rows += [
        [task, *(f"{outcome.statuses[task, status]:,}" for status in statuses)]
        for task in sorted({task for task, _ in outcome.statuses})
    ]
    command = f"python -m tests.fuzz --requests {outcome.requests} --seed {seed}"
    what = (
        f"{outcome.requests:,} mutated requests, {len(outcome.failures)} failures; after the"
        f" warm-up the process grew by {max(0.0, outcome.growth):.0f} MiB (at most {GROWTH} pass)."
    )
    if 500 in statuses:
        what += (
            " A 500 is right only where the model's own arithmetic overflows, and says so; any"
            " other is a failure."
        )
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return "\n\n".join(["## Fuzzing", f"```\n{command}\n```", what, table])


def _again(case: Case) -> str:
    return f'python -m tests.fuzz --seed {case.seed} --model "{case.model}" --only {case.number}'


if __name__ == "__main__":
    main()
