"""The commands that talk to a cloud: init, deploy, plan, invoke, status, logs, rollback, delete.

Each imports what it needs when it is called, so that no cloud's SDK is loaded but the target's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.order import Order
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS, clouds, load

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Bundle, Cloud, Status
    from onnxferry.infra.plan import Plan

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
def deploy(output: str, **flags: Any) -> None:
    """Package the model and put it live on TARGET; what serves is not touched until its successor
    has proved itself."""
    order = Order(**flags)
    cloud, bundle = _open_with_bundle(order)
    _apply(cloud.plan_deploy(bundle), cloud, bundle)
    _live(cloud, bundle, order.out, output)


@options.command()
@_CLOUD
def plan(output: str, **flags: Any) -> None:
    """Show what `deploy` would do now, step by step; changes nothing."""
    cloud, bundle = _open_with_bundle(Order(**flags))
    plan = cloud.plan_deploy(bundle)
    _show(plan, plan.to_json(), output)


@options.command()
@_CLOUD
@click.option(
    "--input",
    "--request-file",
    "-r",
    "source",
    type=click.Path(allow_dash=True, path_type=Path),
    help="A file, or - for standard input.",
)
@click.option("--text", help='Short for {"inputs": TEXT}.')
@click.option("--content-type", help="Default: by the file's suffix; JSON for standard input.")
@click.option("--accept", default="application/json")
@click.option("--timeout", default=60.0, type=click.FloatRange(0.1, 230), help="Seconds.")
def invoke(
    source: Path | None, text: str | None, timeout: float, output: str, **flags: Any
) -> None:
    """Send one request to the live endpoint: the answer on standard output, latency and what served
    it beside."""
    from onnxferry.infra.requests import request_of, show

    request = request_of(source, text, flags.pop("content_type"), flags.pop("accept"))
    reply = _open(Order(**flags)).invoke(request, timeout)
    show(reply, output)
    sys.exit(0 if reply.status == 200 else 1)


@options.command()
@_CLOUD
def status(output: str, **flags: Any) -> None:
    """Show what is live on TARGET, which version, and all that belongs to it."""
    status = _open(Order(**flags)).status()
    _show(status, status.to_json(), output)


@options.command()
@_CLOUD
@click.option("--lines", default=100, type=click.IntRange(1, 10_000))
def logs(lines: int, output: str, **flags: Any) -> None:
    """Show the last lines that the live version's container printed."""
    text = _open(Order(**flags)).logs(lines)
    click.echo(json.dumps({"lines": text.splitlines()}, indent=2) if output == "json" else text)


@options.command()
@_CLOUD
def rollback(output: str, **flags: Any) -> None:
    """Put the previous version back."""
    order = Order(**flags)
    cloud = _open(order)
    _apply(cloud.plan_rollback(), cloud)
    _live(cloud, None, order.out, output)


@options.command()
@_CLOUD
@options.yes
def delete(yes: bool, output: str, **flags: Any) -> None:
    """Delete the endpoint and all that deploying it made: lists what goes, and asks."""
    from onnxferry.infra import record

    order = Order(**flags)
    cloud = _open(order)
    plan = cloud.plan_delete()
    if plan.changes and not yes:
        _ask(plan)
    _apply(plan, cloud)
    record.write(order.out, cloud.status())
    if output == "json":
        gone = [[step.resource, step.name] for step in plan.changes]
        click.echo(json.dumps({"deleted": gone}, indent=2))


def _open(order: Order) -> Cloud:
    """The cloud of the order's target, for the endpoint that the flags, deploy.toml or the model
    name."""
    from onnxferry.infra.names import endpoint_name

    name = order.config.model.name or endpoint_name(order.folder)
    target = TARGETS[order.target]
    try:
        connect = load(target.connect)
    except ModuleNotFoundError as e:
        raise UsageError(
            f"target {order.target} needs the library {e.name}, which is not installed: pip install"
            f" 'onnxferry[{target.extra}]'"
        ) from e
    cloud: Cloud = connect(order.config, name)
    return cloud


def _open_with_bundle(order: Order) -> tuple[Cloud, Bundle]:
    """Check the credentials before packaging, which takes longer."""
    from onnxferry.infra.cloud import bundle
    from onnxferry.scripts.package import package

    cloud, folder = _open(order), order.folder
    cloud.sign_in()
    python = order.python or order.config.model.python
    return cloud, bundle(package(folder, order.target, out=order.out, python=python), folder)


def _apply(plan: Plan, cloud: Cloud, bundle: Bundle | None = None) -> None:
    from onnxferry.infra.plan import apply
    from onnxferry.system.console import err

    apply(plan, cloud.operations(bundle))
    if not plan.changes:
        err.print(f"{plan.purpose} {plan.name} on {plan.target}: nothing to do")


def _live(cloud: Cloud, bundle: Bundle | None, folder: Path, output: str) -> None:
    """Record what is live now, and print it."""
    from onnxferry.infra import record

    status = cloud.status()
    _show(status, json.dumps(record.write(folder, status, bundle), indent=2) + "\n", output)


def _ask(plan: Plan) -> None:
    """Show on standard error what goes, and let the user say yes."""
    from onnxferry.system.console import err

    err.print(plan.table())
    try:
        sure = click.confirm(f"Delete these from {plan.target}?", err=True)
    except click.Abort as e:
        raise UsageError(
            "no answer, so nothing is deleted; give --yes where nobody can be asked"
        ) from e
    if not sure:
        raise click.Abort


def _show(found: Plan | Status, text: str, output: str) -> None:
    """Print what was found: as `text`, which is JSON, for scripts, or as its table."""
    from onnxferry.system.console import out

    if output == "json":
        click.echo(text, nl=False)
    else:
        out.print(found.table())
