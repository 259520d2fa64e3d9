"""onnxferry package: the command line, and the table of a package's content."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from onnxferry.scripts.package import Package, layout_of, manifest, package
from onnxferry.scripts.package.functions import SITE_PACKAGES
from onnxferry.system import options
from onnxferry.system.console import out
from onnxferry.targets import TARGETS

_LIBRARY = re.compile(rf"^(?:{re.escape(SITE_PACKAGES)}|code/|libraries/)(?!onnxferry/)(\w+).*/")
_DISTRIBUTIONS = {"PIL": "pillow", "azure": "azure-functions", "azure_functions": "azure-functions"}


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
        click.echo(manifest.to_json(built, str(built.path)), nl=False)
    else:
        out.print(content(built))


def content(built: Package) -> Table:
    """What is in a package: the files and the unpacked size of the model, the code and each
    dependency."""
    title = f"{built.path}  {_mb(built.size)}  sha256 {built.sha256[:12]}  Python {built.python}"
    table = Table("part", title=escape(title))
    table.add_column("files", justify="right")
    table.add_column("unpacked", justify="right")
    sizes: Counter[str] = Counter()
    for member in built.members:
        sizes[_part(member.path, built)] += member.size
    files = Counter(_part(member.path, built) for member in built.members)
    for part, size in sizes.most_common():
        table.add_row(part, str(files[part]), _mb(size))
    table.add_section()
    table.add_row("total", str(len(built.members)), _mb(sum(sizes.values())))
    return table


def _part(path: str, built: Package) -> str:
    if found := _LIBRARY.match(path):
        return _DISTRIBUTIONS.get(found[1], found[1])
    is_model = path.startswith(("model/", "artifacts/model/")) or (
        built.target == "sagemaker" and "/" not in path
    )
    return "model" if is_model else "code"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"


if __name__ == "__main__":
    command()
