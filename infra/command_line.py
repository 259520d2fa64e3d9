"""The commands that talk to a cloud: init, deploy, plan, invoke, status, logs, rollback, delete.

Each imports what it needs when called: --help is quick, and only the target's SDK is loaded.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS, clouds, load

if TYPE_CHECKING:
    from onnxferry.infra.apply import Executor
    from onnxferry.infra.cloud import Bundle, EndpointStatus, OnlineEndpoint
    from onnxferry.infra.plan import Plan

_LOG = logging.getLogger(__name__)
_SOURCE = click.Path(allow_dash=True, path_type=Path)
_SOURCE_HELP = "A file, or - for standard input."
_CLOUD = options.apply(
    options.target(clouds()),
    options.model,
    options.out,
    options.python,
    options.name,
    options.config,
    options.settings,
    options.output,
)


@options.command()
@options.apply(options.target(clouds()), options.config)
def init(target: str, file: Path) -> None:
    """Write a commented deploy.toml, or add TARGET's table to it."""
    from onnxferry.infra import starter

    click.echo(f"{starter.init(file, target)}: [{target}] written; set what is not commented out")


@options.command()
@_CLOUD
@options.yes
def deploy(yes: bool, output: str, **flags: Any) -> None:
    """Package the model and put it live on TARGET; what serves is not touched until its successor
    has proved itself. Shows the plan first, and asks on a terminal before it replaces or deletes
    anything."""
    given = CommandOptions(**flags)
    endpoint, bundle = _open_with_bundle(given)
    execute(endpoint.plan_deploy(bundle), endpoint, yes=yes, terminal=sys.stdin.isatty())
    _record(endpoint, bundle, given.out, output)


@options.command()
@_CLOUD
def plan(output: str, **flags: Any) -> None:
    """Show what `deploy` would do now; changes nothing. All parameters are in --output json, and
    with -v on standard error."""
    from onnxferry.infra.plan_text import plan_text

    endpoint, bundle = _open_with_bundle(CommandOptions(**flags))
    planned = endpoint.plan_deploy(bundle)
    _LOG.debug("the plan: %s", planned.to_json())
    click.echo(planned.to_json() if output == "json" else plan_text(planned), nl=output != "json")


@options.command()
@_CLOUD
@click.option("--input", "--request-file", "-r", "source", type=_SOURCE, help=_SOURCE_HELP)
@click.option("--text", help='Short for {"inputs": TEXT}.')
@click.option("--content-type", help="Default: by the file's suffix; JSON for standard input.")
@click.option("--accept", default="application/json")
@click.option("--timeout", default=60.0, type=click.FloatRange(0.1, 230), help="Seconds.")
def invoke(timeout: float, output: str, **flags: Any) -> None:
    """Send one request to the live endpoint: the answer on standard output, latency and what served
    it beside."""
    from onnxferry.infra.requests import request_of, show

    sent = {key: flags.pop(key) for key in ("source", "text", "content_type", "accept")}
    request = request_of(**sent)
    reply = _open(CommandOptions(**flags)).invoke(request, timeout)
    show(reply, output)
    sys.exit(0 if reply.status == 200 else 1)


@options.command()
@_CLOUD
def status(output: str, **flags: Any) -> None:
    """Show what is live on TARGET, which version, and all that belongs to it."""
    found = _open(CommandOptions(**flags)).status()
    _show(found, found.to_json(), output)


@options.command()
@_CLOUD
@click.option("--lines", default=100, type=click.IntRange(1, 10_000))
def logs(lines: int, output: str, **flags: Any) -> None:
    """Show the last lines that the live version's container printed."""
    text = _open(CommandOptions(**flags)).logs(lines)
    click.echo(json.dumps({"lines": text.splitlines()}, indent=2) if output == "json" else text)


@options.command()
@_CLOUD
@options.yes
def rollback(yes: bool, output: str, **flags: Any) -> None:
    """Put the previous version back. Shows the plan first, and asks on a terminal."""
    given = CommandOptions(**flags)
    endpoint = _open(given)
    execute(endpoint.plan_rollback(), endpoint, yes=yes, terminal=sys.stdin.isatty())
    _record(endpoint, None, given.out, output)


@options.command()
@_CLOUD
@options.yes
def delete(yes: bool, output: str, **flags: Any) -> None:
    """Delete the endpoint and all that deploying it made. Shows what goes, and asks; without a
    terminal it needs --yes."""
    from onnxferry.infra import record

    given = CommandOptions(**flags)
    endpoint = _open(given)
    planned = endpoint.plan_delete()
    execute(planned, endpoint, yes=yes, terminal=sys.stdin.isatty(), always_ask=True)
    record.write(given.out, endpoint.status())
    if output == "json":
        gone = [[step.resource, step.name] for step in planned.changes]
        click.echo(json.dumps({"deleted": gone}, indent=2))


def _open(given: CommandOptions) -> OnlineEndpoint:
    name, target = given.endpoint_name, TARGETS[given.target]
    try:
        connect = load(target.connect)
    except ModuleNotFoundError as e:
        remedy = f"pip install 'onnxferry[{target.extra}]'"
        raise UsageError(f"target {given.target} needs the library {e.name}: {remedy}") from e
    endpoint: OnlineEndpoint = connect(given.config, name)
    return endpoint


def _open_with_bundle(given: CommandOptions) -> tuple[OnlineEndpoint, Bundle]:
    """Check the credentials before packaging, which takes longer."""
    from onnxferry.infra.cloud import bundle
    from onnxferry.scripts.package import package

    endpoint, folder = _open(given), given.folder
    endpoint.sign_in()
    python = given.python or given.config.model.python
    return endpoint, bundle(package(folder, given.target, out=given.out, python=python), folder)


def execute(
    plan: Plan, cloud: Executor, *, yes: bool, terminal: bool, always_ask: bool = False
) -> None:
    """Show `plan`, ask unless `yes`, and execute it.

    It asks on a `terminal` where something is deleted or replaced, and with `always_ask` before any
    change. Raises UsageError where nobody answers, and Abort for a no.
    """
    from onnxferry.infra.apply import apply
    from onnxferry.infra.plan_text import plan_text

    _LOG.debug("the plan: %s", plan.to_json())
    click.echo(plan_text(plan), err=True)
    if not yes and (plan.changes if always_ask else terminal and plan.destructive):
        _ask(plan)
    apply(plan, cloud)


def _ask(plan: Plan) -> None:
    question = f"{plan.purpose.capitalize()} {plan.name} on {plan.target}?"
    try:
        sure = click.confirm(question, err=True)
    except click.Abort as e:
        raise UsageError("no answer: nothing is done; where nobody can answer, give --yes") from e
    if not sure:
        raise click.Abort


def _record(endpoint: OnlineEndpoint, bundle: Bundle | None, folder: Path, output: str) -> None:
    from onnxferry.infra import record

    found = endpoint.status()
    _show(found, json.dumps(record.write(folder, found, bundle), indent=2) + "\n", output)


def _show(found: EndpointStatus, text: str, output: str) -> None:
    """Print what is live: `text`, which is JSON, or a table."""
    from onnxferry.infra.plan_text import status_table
    from onnxferry.system.console import out

    if output == "json":
        click.echo(text, nl=False)
    else:
        out.print(status_table(found))
