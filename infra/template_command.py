"""The command `template`: what a target needs beside the package, as a template of the cloud's own.

onnxferry template --target functions                        # print it; asks nobody
onnxferry template --target functions --file functions.json --what-if
onnxferry template --target functions --deploy
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.execution import Consent, execute
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import templated

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Templated
    from onnxferry.infra.plan import Plan
    from onnxferry.scripts.package import Package

_FILE = "Write the template there; default: standard output, where nothing else is asked for."
_WHAT_IF = "Show what deploying it would change, as the cloud says; changes nothing."
_DEPLOY = "Show that, ask, and deploy it."
_FORCE = "Take the lease of a run that is at work."


@options.command()
@options.apply(
    options.target(templated()),
    options.model,
    options.python,
    options.name,
    options.config,
    options.settings,
    options.output,
    options.yes,
)
@click.option("--file", "path", type=options.FILE, help=_FILE)
@click.option("--what-if", is_flag=True, help=_WHAT_IF)
@click.option("--deploy", is_flag=True, help=_DEPLOY)
@click.option("--force", is_flag=True, help=_FORCE)
def template(path: Path | None, output: str, **flags: Any) -> None:
    """Write what TARGET needs beside the package as a template of the cloud's own, with the values
    of deploy.toml as its defaults; preview it (--what-if), or deploy it (--deploy). Otherwise it
    asks the cloud nothing. Deployed by this command, or by any pipeline, it leaves `deploy` nothing
    to make but what the package changes."""
    what_if, deploy = flags.pop("what_if"), flags.pop("deploy")
    yes, force = flags.pop("yes"), flags.pop("force")
    if what_if and deploy:
        raise UsageError("--deploy shows what --what-if shows; give one of them")
    given = CommandOptions(out=Path("build"), file=flags.pop("file"), **flags)
    cloud: Templated = given.connected()
    package = _package(given)
    if path or not (what_if or deploy):
        _write(cloud.template(package, over=what_if or deploy), path)
    if what_if:
        _preview(cloud.plan_template(package), output)
    if deploy:
        consent = Consent(yes=yes, terminal=sys.stdin.isatty(), always=True)
        planned = execute(lambda: cloud.plan_template(package), cloud, consent, force)
        _report(planned, output)


def _package(given: CommandOptions) -> Package:
    """What is known of the package before it is built: its Python, and its model's files, where
    there is a model directory."""
    from onnxferry.scripts.package import drafted

    python = given.python or given.config.model.python
    try:
        folder = given.folder if given.folder.is_dir() else None
    except UsageError:  # there is none yet, or there are several
        folder = None
    return drafted(folder, given.layout, python)


def _write(text: str, path: Path | None) -> None:
    if path is None:
        click.echo(text, nl=False)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"{path}: written", err=True)


def _preview(plan: Plan, output: str) -> None:
    from onnxferry.infra.plan_text import plan_text

    click.echo(plan.to_json() if output == "json" else plan_text(plan), nl=output != "json")


def _report(plan: Plan, output: str) -> None:
    """What was made and changed, and what comes next."""
    done = [[step.action.value, step.resource, step.name] for step in plan.changes]
    if output == "json":
        click.echo(json.dumps({"deployed": done}, indent=2))
    else:
        command = f"{program('deploy')} --target {plan.target} --name {plan.name}"
        click.echo(f"All is as the template says. To publish the package: {command}")
