"""The command `keys`: how callers are let in, and new keys without a gap.

onnxferry keys --target azureml                     # which keys there are, and no value
onnxferry keys --target azureml --show > key.txt
onnxferry keys --target azureml --rotate            # the secondary; then --rotate primary
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

import click

from onnxferry.infra.access_keys import KINDS, advice
from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.execution import Consent, execute
from onnxferry.system import options
from onnxferry.targets import keyed

_SHOW = "Print this key, and nothing else, on standard output; without a word the primary one."
_ROTATE = "Renew this key, so that its old value is refused; without a word the secondary one."


@options.command()
@options.apply(
    options.target(keyed()),
    options.model,
    options.out,
    options.python,
    options.name,
    options.config,
    options.settings,
    options.output,
)
@options.yes
@options.force
@click.option("--show", type=click.Choice(KINDS), is_flag=False, flag_value="primary", help=_SHOW)
@click.option(
    "--rotate", type=click.Choice(KINDS), is_flag=False, flag_value="secondary", help=_ROTATE
)
def keys(
    yes: bool, force: bool, show: str | None, rotate: str | None, output: str, **flags: Any
) -> None:
    """Tell how callers of the live endpoint are let in and which keys there are, by fingerprints.
    To renew them without a gap: --rotate secondary, give that to all clients, --rotate primary.
    Asks before it renews one."""
    from onnxferry.infra.cloud import HasKeys

    endpoint: Any = CommandOptions(**flags).connected()
    if not isinstance(endpoint, HasKeys):  # a registry may be served elsewhere
        raise click.UsageError("the endpoint of this target has no keys")
    if rotate:
        consent = Consent(yes=yes, terminal=sys.stdin.isatty(), always=True)
        execute(partial(endpoint.plan_rotate, rotate), endpoint, consent, force)
        click.echo(advice(rotate), err=True)
    access = endpoint.access()
    if show:
        value = access.key(show).value
        click.echo(json.dumps({"key": value}) if output == "json" else value)
    elif output == "json":
        click.echo(json.dumps(access.data(), indent=2))
    else:
        click.echo("\n".join(access.lines()))
