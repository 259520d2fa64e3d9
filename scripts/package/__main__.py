"""onnxferry package: the command line, and the table of a package's content."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from onnxferry.scripts.package import Package, layout_of, manifest, package
from onnxferry.scripts.package.parts import parts
from onnxferry.system import options
from onnxferry.system.console import out
from onnxferry.targets import TARGETS


@options.command()
@options.model_dir
@options.apply(options.target(TARGETS), options.model, options.out, options.python)
@options.apply(options.image, options.config, options.output)
def command(model_dir: Path | None, model: Path | None, output: str, **flags: Any) -> None:
    """Build what TARGET loads of MODEL_DIR, and list its content: model.tar.gz, a function zip,
    or a folder for AzureML, for MLflow, for this machine or for an image."""
    from onnxferry.scripts.model_table import chosen

    layout = layout_of(flags.pop("target"), flags.pop("image"))
    built = package(chosen(model_dir, model, flags.pop("file")), layout, **flags)
    if output == "json":
        said = json.loads(manifest.to_json(built, str(built.path)))
        click.echo(json.dumps({**said, "parts": [*map(asdict, parts(built))]}, indent=2))
    else:
        out.print(content(built))


def content(built: Package) -> Table:
    """What is in a package: the files of the model, the code and each dependency, and their size,
    unpacked and in the archive."""
    title = f"{built.path}  {_mb(built.size)}  sha256 {built.sha256[:12]}  Python {built.python}"
    table = Table("part", title=escape(title))
    found = parts(built)
    zipped = [part.packed for part in found if part.packed is not None]
    for heading in ("files", "unpacked", *(["packed"] if zipped else [])):
        table.add_column(heading, justify="right")
    for part in found:
        packed = [] if part.packed is None else [_mb(part.packed)]
        table.add_row(part.name, str(part.files), _mb(part.unpacked), *packed)
    table.add_section()
    unpacked = sum(part.unpacked for part in found)
    total = [_mb(sum(zipped))] if zipped else []
    table.add_row("total", str(len(built.members)), _mb(unpacked), *total)
    return table


def _mb(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"


if __name__ == "__main__":
    command()
