#!/usr/bin/env python3
"""The command line of onnxferry, and the only place that composes its rooms: `python deploy.py
[ACTION] --target TARGET`, where ACTION is `deploy` unless it is named; installed, `onnxferry`.

Each action imports what it needs when it is called, so that --help answers at once and no cloud's
SDK is loaded but the target's. One `except` turns a known failure into its message and exit code;
an unknown one keeps its traceback.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.order import MODELS, Order, only_model
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import ending

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Bundle, Cloud, Status
    from onnxferry.infra.config import DeployConfig
    from onnxferry.infra.plan import Plan

TARGETS = ("azureml", "functions", "local", "sagemaker")
CLOUDS = ("azureml", "functions", "sagemaker")
EXTRAS = {"azureml": "azure", "functions": "azure", "sagemaker": "aws"}

_OUTPUT = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)
_MODEL = (
    click.option(
        "--model",
        type=click.Path(path_type=Path),
        help=f"Model directory; default: the one in {MODELS}.",
    ),
    click.option(
        "--out", default=Path("build"), show_default=True, type=click.Path(path_type=Path)
    ),
    click.option(
        "--python", help="Python version of the host, like 3.12 (default: the platform's)."
    ),
)
_PACKAGING = (
    click.option("--target", required=True, type=click.Choice(TARGETS), help="The platform."),
    *_MODEL,
    _OUTPUT,
)
_CLOUD = (
    click.option("--target", required=True, type=click.Choice(CLOUDS), help="The platform."),
    *_MODEL,
    click.option(
        "--name",
        "--endpoint-name",
        "-n",
        help="The endpoint's name (default: made of the model's).",
    ),
    click.option(
        "--config",
        "file",
        default=Path("deploy.toml"),
        show_default=True,
        type=click.Path(path_type=Path),
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="A setting of deploy.toml, like region=eu-west-1. May be repeated.",
    ),
    _OUTPUT,
)


def _options(options: tuple[Callable[..., Any], ...]) -> Callable[..., Any]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class _DeployByDefault(click.Group):
    """`--target sagemaker` alone means `deploy --target sagemaker`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["deploy", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DeployByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onnxferry")
def cli() -> None:
    """Carry one trained model to many clouds. Make a model directory first: python -m
    scripts.prepare --help."""


@cli.command("package")
@_options(_PACKAGING)
def package_(target: str, model: Path | None, out: Path, python: str | None, output: str) -> None:
    """Build what TARGET loads: model.tar.gz, a function zip, or a folder for AzureML or here."""
    from onnxferry.scripts.package import package
    from onnxferry.scripts.package.__main__ import show

    show(package(model or only_model(), target, out=out, python=python), output)


@cli.command("rehearse")
@_options(_PACKAGING)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file to send as a request; its suffix says its content type. May be repeated.",
)
@click.option(
    "--repeats", default=30, show_default=True, type=click.IntRange(2), help="Requests to time."
)
def rehearse_(inputs: tuple[Path, ...], repeats: int, output: str, **order: Any) -> None:
    """Package the model and serve it by TARGET's real hosting runtime, here: answer, start-up,
    latency and memory."""
    from onnxferry.scripts.rehearse import rehearse
    from onnxferry.scripts.rehearse.__main__ import show
    from onnxferry.scripts.rehearse.model import rehearsable
    from onnxferry.scripts.request_file import read_request

    requests = [read_request(path) for path in inputs]
    order["model"] = order["model"] or only_model()
    done = rehearse(rehearsable(**order), extra=requests, repeats=repeats)
    show(done, dict(zip(map(str, inputs), done.extra, strict=True)), output)


@cli.command("init")
@click.option("--target", required=True, type=click.Choice(CLOUDS), help="The platform.")
@click.option(
    "--config",
    "file",
    default=Path("deploy.toml"),
    show_default=True,
    type=click.Path(path_type=Path),
)
def init_(target: str, file: Path) -> None:
    """Write a commented deploy.toml, or add TARGET's table to it."""
    from onnxferry.infra.starter import init

    click.echo(f"{init(file, target)}: [{target}] written; set what is not commented out")


@cli.command("deploy")
@_options(_CLOUD)
def deploy_(output: str, **flags: Any) -> None:
    """Package the model and put it live on TARGET; what serves is not touched until its successor
    has proved itself."""
    order = Order(**flags)
    cloud, bundle = _open_with_bundle(order)
    _apply(cloud.plan_deploy(bundle), cloud, bundle)
    _live(cloud, bundle, order.out, output)


@cli.command("plan")
@_options(_CLOUD)
def plan_(output: str, **flags: Any) -> None:
    """Show what `deploy` would do now, step by step; changes nothing."""
    cloud, bundle = _open_with_bundle(Order(**flags))
    plan = cloud.plan_deploy(bundle)
    _show(plan, plan.to_json(), output)


@cli.command("invoke")
@_options(_CLOUD)
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
@click.option("--accept", default="application/json", show_default=True)
@click.option(
    "--timeout", default=60.0, show_default=True, type=click.FloatRange(0.1, 230), help="Seconds."
)
def invoke_(
    source: Path | None, text: str | None, timeout: float, output: str, **flags: Any
) -> None:
    """Send one request to the live endpoint: the answer on standard output, latency and what served
    it beside."""
    from onnxferry.infra.requests import request_of, show

    request = request_of(source, text, flags.pop("content_type"), flags.pop("accept"))
    reply = _open(Order(**flags)).invoke(request, timeout)
    show(reply, output)
    sys.exit(0 if reply.status == 200 else 1)


@cli.command("status")
@_options(_CLOUD)
def status_(output: str, **flags: Any) -> None:
    """What is live on TARGET, which version, and all that belongs to it."""
    status = _open(Order(**flags)).status()
    _show(status, status.to_json(), output)


@cli.command("logs")
@_options(_CLOUD)
@click.option("--lines", default=100, show_default=True, type=click.IntRange(1, 10_000))
def logs_(lines: int, output: str, **flags: Any) -> None:
    """The last lines that the live version's container printed."""
    text = _open(Order(**flags)).logs(lines)
    click.echo(json.dumps({"lines": text.splitlines()}, indent=2) if output == "json" else text)


@cli.command("rollback")
@_options(_CLOUD)
def rollback_(output: str, **flags: Any) -> None:
    """Put the previous version back."""
    order = Order(**flags)
    cloud = _open(order)
    _apply(cloud.plan_rollback(), cloud)
    _live(cloud, None, order.out, output)


@cli.command("delete")
@_options(_CLOUD)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_(yes: bool, output: str, **flags: Any) -> None:
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
        click.echo(
            json.dumps({"deleted": [[step.resource, step.name] for step in plan.changes]}, indent=2)
        )


def _open(order: Order) -> Cloud:
    """The cloud of the order's target, for the endpoint that the flags, deploy.toml or the model
    name."""
    from onnxferry.infra.names import endpoint_name

    name = order.config.model.name or endpoint_name(order.folder)
    try:
        connect: Callable[[DeployConfig, str], Cloud] = importlib.import_module(
            f"infra.{order.target}"
        ).connect
    except ModuleNotFoundError as e:
        install = f"pip install 'onnxferry[{EXTRAS[order.target]}]'"
        raise UsageError(
            f"target {order.target} needs the library {e.name}, which is not installed: {install}"
        ) from e
    return connect(order.config, name)


def _open_with_bundle(order: Order) -> tuple[Cloud, Bundle]:
    """Nobody waits for a package to hear that nobody is signed in."""
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


def main() -> None:
    """Run the command line; a known failure ends with its message and its exit code."""
    with ending():
        cli()


if __name__ == "__main__":
    main()
