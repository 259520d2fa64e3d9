"""python -m tests.zoo: the whole zoo under each major version of transformers, and docs/models.md.

Each version works in a process of its own, by the interpreter of its environment; what is done is
kept below --work, so that a run goes on where another ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tests.zoo import page
from tests.zoo.pairs import PAIRS, Pair

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "zoo"
PYTHONS = [ROOT / venv / "bin" / "python" for venv in (".venv", ".venv-4")]


@click.command()
@click.option(
    "-k", "words", default="", help="Only pairs whose name holds one of these words, by commas."
)
@click.option("--python", "pythons", multiple=True, type=Path, help="Interpreters, one a version.")
@click.option("--work", type=Path, default=WORK, help="Where models and outcomes are kept.")
@click.option("--again", is_flag=True, help="Forget the outcomes of the pairs chosen.")
@click.option("--out", type=Path, help="The page to write; with all pairs docs/models.md.")
@click.option("--step", type=click.Choice(["build", "compare"]), hidden=True)
def command(words: str, work: Path, step: str | None, **given: Any) -> None:
    """Build, prepare, serve and compare."""
    chosen = [pair for pair in PAIRS if any(word in pair.name for word in words.split(","))]
    if step:
        from tests.zoo import steps

        (steps.build_all if step == "build" else steps.compare_all)(chosen, work)
        return
    if given["again"]:
        _forget(chosen, work)
    found = [*(given["pythons"] or filter(Path.exists, PYTHONS))]
    for name in ("build", "compare"):
        _each(found, ["--step", name, "-k", words, "--work", str(work)])
    outcomes = page.read(work, chosen)
    target = given["out"] or (None if words else ROOT / "docs" / "models.md")
    if target:
        page.write(target, chosen, outcomes)
    for outcome in outcomes:
        if outcome.outcome == "failed":
            click.echo(f"{outcome.pair} {outcome.saved} -> {outcome.prepared}: {outcome.detail}")
    failed = sum(outcome.outcome == "failed" for outcome in outcomes)
    click.echo(f"{len(outcomes)} outcomes, {failed} failed")
    sys.exit(bool(failed))


def _each(pythons: Sequence[Path], arguments: list[str]) -> None:
    """Run a step under all interpreters at once."""
    started = [
        subprocess.Popen([python, "-m", "tests.zoo", *arguments], cwd=ROOT) for python in pythons
    ]
    codes = [process.wait() for process in started]
    if any(codes):
        raise click.ClickException(f"a step ended early: {' '.join(arguments)}")


def _forget(pairs: Sequence[Pair], work: Path) -> None:
    for pair in pairs:
        for file in work.glob(f"*/{pair.name}/outcome-*.json"):
            file.unlink()


if __name__ == "__main__":
    command()
