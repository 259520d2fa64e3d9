"""The commands that talk to a cloud: init, deploy, plan, drift, invoke, status, logs, list,
rollback, delete.

Each imports what it needs when called: --help is quick, and only the target's SDK is loaded.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.execution import Consent, execute
from onnxferry.system import options
from onnxferry.targets import clouds

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Bundle, EndpointStatus, OnlineEndpoint
    from onnxferry.infra.plan import Plan

_LOG = logging.getLogger(__name__)
_REQUEST_HELP = "A file, - for standard input, or, with --async, s3://BUCKET/KEY."
_CONTAINER = "On AzureML: inference-server, which is the default, storage-initializer, or all."
_DEPLOYMENT = "On AzureML: of this one, which may not be up; default: the one with traffic."
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
@options.force
@click.option("--keep-failed", is_flag=True, help="Keep what has not proved itself, to look at it.")
def deploy(yes: bool, force: bool, keep_failed: bool, output: str, **flags: Any) -> None:
    """Package the model and put it live on TARGET; what serves is not touched until its successor
    has proved itself. Shows the plan first, and asks on a terminal before it replaces or deletes
    anything. What fails is put back, and removed."""
    given = CommandOptions(**flags)
    endpoint, bundle = _open_with_bundle(given)
    consent = Consent(yes=yes, terminal=sys.stdin.isatty())
    execute(lambda: endpoint.plan_deploy(bundle), endpoint, consent, force, keep_failed)
    _record(endpoint, bundle, given.out, output)


@options.command()
@_CLOUD
def plan(output: str, **flags: Any) -> None:
    """Show what `deploy` would do now and what it would cost; changes nothing. All parameters are
    in --output json, and with -v on standard error."""
    from onnxferry.infra.prices.estimators import estimator

    given = CommandOptions(**flags)
    estimated = estimator(given.target, getattr(given.config, given.target))
    endpoint, bundle = _open_with_bundle(given)
    _show_plan(estimated(endpoint.plan_deploy(bundle), bundle.package), output)


@options.command()
@_CLOUD
def drift(output: str, **flags: Any) -> None:
    """Tell whether TARGET is as the model and deploy.toml say, tags and settings included: exit
    code 0 where it is, 2 where `deploy` would change something, which is shown."""
    from onnxferry.infra.plan_text import differences

    endpoint, bundle = _open_with_bundle(CommandOptions(**flags))
    planned = endpoint.plan_deploy(bundle)
    _show_plan(planned, output)
    for line in differences(planned) if output != "json" else ():
        click.echo(line)
    sys.exit(2 if planned.changes else 0)


@options.command()
@_CLOUD
@click.option("--input", "--request-file", "-r", "source", help=_REQUEST_HELP)
@click.option("--text", help='Short for {"inputs": TEXT}.')
@click.option("--content-type", help="Default: by the file's suffix; JSON for standard input.")
@click.option("--accept", default="application/json")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), help="Seconds; 60, with --async 900.")
@click.option("--async", "queued", is_flag=True, help="Upload it, wait for the answer, print it.")
def invoke(timeout: float | None, queued: bool, output: str, **flags: Any) -> None:
    """Send one request to the live endpoint: the answer on standard output, latency and what served
    it beside. --async is for an endpoint that answers later, into S3."""
    from onnxferry.infra.requests import show
    from onnxferry.infra.sending import sending

    sent = {key: flags.pop(key) for key in ("source", "text", "content_type", "accept")}
    ask = sending(sent, timeout, queued=queued)
    given = CommandOptions(**flags)
    reply = ask(_open(given), given.target)
    show(reply, output)
    sys.exit(0 if reply.status == 200 else 1)


@options.command()
@_CLOUD
def status(output: str, **flags: Any) -> None:
    """Show what is live on TARGET, which version, and all that belongs to it; on SageMaker and
    AzureML also the last hour's requests, errors and latency, as the cloud counted them."""
    from onnxferry.infra.cloud import HasMetrics
    from onnxferry.infra.lease import at_work

    endpoint = _open(CommandOptions(**flags))
    found = endpoint.status()
    if who := at_work(endpoint.lease_store):
        found = replace(found, details={**found.details, "at work": who})
    if isinstance(endpoint, HasMetrics):
        found = replace(found, details={**found.details, **endpoint.last_hour()})
    _show(found, found.to_json(), output)


@options.command("list")
@options.apply(options.target(clouds()), options.config, options.settings, options.output)
def list_(target: str, file: Path, settings: tuple[str, ...], output: str) -> None:
    """Show all that onnxferry ever made on TARGET, in the account and region or the subscription
    that deploy.toml names, whichever endpoint it belongs to."""
    from onnxferry.infra import listing

    found = _open(CommandOptions.without_model(target, file, settings)).listed()
    listing.show(found, target, output)


@options.command()
@_CLOUD
@click.option("--lines", default=100, type=click.IntRange(1, 10_000), help="So many of the last.")
@click.option("--since", metavar="TIME", help="All since then instead: 15m, 2h, 1d, or ISO 8601.")
@click.option("--follow", "-f", is_flag=True, help="Then show new ones as they come, until Ctrl-C.")
@click.option("--container", default="", show_default=False, help=_CONTAINER)
@click.option("--deployment", default="", show_default=False, help=_DEPLOYMENT)
def logs(lines: int, since: str | None, follow: bool, output: str, **flags: Any) -> None:
    """Show the last lines that the live version's container printed. With --follow, --output json
    prints an object for each line."""
    from onnxferry.infra import log_following as following
    from onnxferry.infra.log_feeds import LogPlace

    place = LogPlace(flags.pop("container"), flags.pop("deployment"))
    given = CommandOptions(**flags)
    endpoint = following.placed(_open(given), given.target, place)
    start = following.moment(since, datetime.now(timezone.utc)) if since else None
    if follow:
        show = following.as_json if output == "json" else following.as_text
        return following.follow(following.feed_of(endpoint, given.target, lines, start), show)
    feed = following.feed_of(endpoint, given.target, lines, start) if start else None
    text = following.once(feed) if feed else endpoint.logs(lines)
    said = json.dumps({"lines": text.splitlines()}, indent=2) if output == "json" else text
    return click.echo(said)


@options.command()
@_CLOUD
@options.yes
@options.force
def rollback(yes: bool, force: bool, output: str, **flags: Any) -> None:
    """Put the previous version back. Shows the plan first, and asks on a terminal."""
    given = CommandOptions(**flags)
    endpoint = _open(given)
    consent = Consent(yes=yes, terminal=sys.stdin.isatty())
    execute(endpoint.plan_rollback, endpoint, consent, force)
    _record(endpoint, None, given.out, output)


@options.command()
@_CLOUD
@options.yes
@options.force
@click.option(
    "--unproved", is_flag=True, help="Only what has not proved itself; what serves stays."
)
def delete(yes: bool, force: bool, unproved: bool, output: str, **flags: Any) -> None:
    """Delete the endpoint and all that deploying it made. Shows what goes, and asks; without a
    terminal it needs --yes."""
    from onnxferry.infra import record

    given = CommandOptions(**flags)
    endpoint = _open(given)
    planned_by = endpoint.plan_delete_unproved if unproved else endpoint.plan_delete
    consent = Consent(yes=yes, terminal=sys.stdin.isatty(), always=True)
    planned = execute(planned_by, endpoint, consent, force)
    record.write(given.out, endpoint.status())
    if output == "json":
        gone = [[step.resource, step.name] for step in planned.changes]
        click.echo(json.dumps({"deleted": gone}, indent=2))


def _open(given: CommandOptions) -> OnlineEndpoint:
    endpoint: OnlineEndpoint = given.connected()
    return endpoint


def _open_with_bundle(given: CommandOptions) -> tuple[OnlineEndpoint, Bundle]:
    """Check the credentials before packaging, which takes longer."""
    from onnxferry.infra.cloud import bundle
    from onnxferry.scripts.package import package

    endpoint = _open(given)
    endpoint.sign_in()
    folder = given.prepared()
    python = given.python or given.config.model.python
    return endpoint, bundle(package(folder, given.layout, out=given.out, python=python), folder)


def _show_plan(plan: Plan, output: str) -> None:
    from onnxferry.infra.plan_text import plan_text

    _LOG.debug("the plan: %s", plan.to_json())
    click.echo(plan.to_json() if output == "json" else plan_text(plan), nl=output != "json")


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
