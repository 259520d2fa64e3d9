"""What packages are made of, for every target, as a section of a document: `make sizes`.

    python -m examples.sizes build/models/minilm-goemotions-int8 --out docs/package-and-rehearse.md

Each byte is in one of the rows. Weights are told apart by what they are for.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import onnx_ir as ir

from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scripts import sections, tables
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.package.parts import parts
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.int8_embedding import MIN_SIZE, READ_ROWS
from onnxferry.system.options import FILE, FOLDER
from onnxferry.targets import TARGETS

SMALL = 1_000_000  # bytes of a library that has a row of its own
OTHERS = "other libraries"
LEAST = 2**12  # numbers of a linear layer that counts as one


def table(model: Path, built: Sequence[Package]) -> str:
    """A row for each part, a column of megabytes for each package; then the sums, and of archives
    their own size."""
    found = [unpacked(each, model) for each in built]
    names = dict.fromkeys(name for each in found for name in sorted(each, key=lambda n: -each[n]))
    rows = [[name, *(_mb(each.get(name, 0)) for each in found)] for name in names]
    rows.append(["**unpacked**", *(_mb(sum(each.values())) for each in found)])
    rows.append(["**archive**", *(_mb(p.size if p.path.is_file() else 0) for p in built)])
    return tables.markdown(["MB", *(each.target for each in built)], rows)


def unpacked(built: Package, model: Path) -> Mapping[str, int]:
    """Bytes by part of a package: each file of the model, our code, notices, each library."""
    found: Counter[str] = Counter()
    for part in parts(built):
        if part.name != "model":
            named = part.name in ("code", "notices") or part.unpacked >= SMALL
            found[part.name if named else OTHERS] += part.unpacked
    names = {path.name for path in model.iterdir()}
    for member in built.members:
        folder, _, name = member.path.rpartition("/")
        if name in names and folder in ("", "model", "artifacts/model"):
            found[name] += member.size
    return found


def weights(model: Path) -> str:
    """A row for each kind of weight, with its megabytes and its share of all."""
    found: Counter[str] = Counter()
    for value in onnx_graph.read(model / MODEL_FILE).graph.initializers.values():
        if value.const_value is not None:
            found[_role(value)] += value.const_value.nbytes
    every = sum(found.values())
    rows = [[name, _mb(size), f"{size / every:.1%}"] for name, size in found.most_common()]
    return tables.markdown(["weights", "MB", "share"], rows)


def _role(value: ir.Value) -> str:
    numbers = value.const_value.size if value.const_value else 0
    kind = str(value.dtype).lower()
    looked_up = any(node.op_type in ("Gather", "Cast") for node in value.consumers())
    if looked_up and numbers >= MIN_SIZE:
        return f"{'words' if numbers >= READ_ROWS else 'positions'}, {kind}"
    shape = value.shape.numpy() if value.shape else ()
    is_layer = len(shape) == 2 and 1 not in shape and numbers >= LEAST
    return f"linear layers, {kind}" if is_layer else "scales, biases, normalisation"


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}" if size else ""


def section(model: Path) -> str:
    """The section of a model directory, whose packages are made and thrown away."""
    spec = ModelSpec.read(model)
    with tempfile.TemporaryDirectory() as folder:
        built = [package(model, target, out=Path(folder)) for target in TARGETS]
        made = table(model, built)
    pythons = ", ".join(sorted({each.python for each in built}))
    text = f"{spec.task}, {spec.precision}; Python {pythons}. MB of 1,000,000 bytes, unpacked."
    command = f"python -m examples.sizes {sections.shown(model)}"
    return sections.section(f"Sizes: {spec.name}", command, text, made, weights(model))


@click.command()
@click.argument("models", nargs=-1, required=True, type=FOLDER)
@click.option("--out", type=FILE, help="A Markdown file: write or renew the sections.")
def main(models: tuple[Path, ...], out: Path | None) -> None:
    """Tell what MODELS' packages are made of, for every target."""
    for model in models:
        text = section(model)
        click.echo(text)
        if out:
            sections.replace(out, f"sizes of {ModelSpec.read(model).name}", text)


if __name__ == "__main__":
    main()
