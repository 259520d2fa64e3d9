"""The command `open`: the page of an endpoint in its cloud's console.

onnxferry open --target sagemaker             # prints the link; asks the cloud nothing
onnxferry open --target sagemaker --browser
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import clouds

_BATCH = "The page of the batch jobs instead."
_BROWSER = "Open it in the browser, too."


@options.command("open")
@options.apply(
    options.target(clouds()),
    options.model,
    options.name,
    options.config,
    options.settings,
    options.output,
)
@click.option("--batch", is_flag=True, help=_BATCH)
@click.option("--browser", is_flag=True, help=_BROWSER)
def open_(batch: bool, browser: bool, output: str, **flags: Any) -> None:
    """Print the link to the endpoint's page in the console of TARGET's cloud. Asks nobody; the page
    is for whoever is signed in there."""
    given = CommandOptions(out=Path("build"), python=None, **flags)
    url = _page(given, batch=batch)
    click.echo(json.dumps({"url": url}) if output == "json" else url)
    if browser:
        _show(url)


def _page(given: CommandOptions, *, batch: bool) -> str:
    from onnxferry.infra.cloud import HasBatchPage, HasConsole

    endpoint = given.connected()
    if batch and isinstance(endpoint, HasBatchPage):
        return endpoint.batch_url()
    if batch or not isinstance(endpoint, HasConsole):
        of = " of batch jobs" if batch else ""
        raise UsageError(f"target {given.target} has no console page{of} that is known here")
    return endpoint.console_url()


def _show(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        click.secho("note: no browser can be opened here; open the link", fg="yellow", err=True)
