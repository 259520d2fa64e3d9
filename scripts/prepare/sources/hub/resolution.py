"""What SOURCE stands for, brought here: a model of the hub becomes its folder, and a folder without
weights for PyTorch, or with --file, the .onnx file in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxferry.scoring.manifest import TOKENIZER_FILE
from onnxferry.scripts.prepare import hub_id
from onnxferry.scripts.prepare.options import HUB, HUGGINGFACE, Options, check
from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.system.errors import UsageError

CONFIG, TENSORS = "config.json", "tensors"


@dataclass(frozen=True)
class Resolved:
    """`options` with a folder, a file or a module as source; `record`: where it came from."""

    options: Options
    record: Mapping[str, str] = field(default_factory=dict)


def resolved(options: Options) -> Resolved:
    """Bring the source here. Raises UsageError and PrepareError."""
    kind = options.kind
    if kind == HUB:
        return _of_hub(options)
    if kind != HUGGINGFACE:
        return Resolved(options)
    folder = Path(options.source)
    graph = model_files.onnx_file(model_files.listing(folder), options.file, options.source)
    return Resolved(_taken(options, folder, graph))


def _of_hub(options: Options) -> Resolved:
    try:
        from onnxferry.scripts.prepare.sources.hub import snapshots
    except ImportError as e:
        if (e.name or "").startswith("onnxferry"):
            raise
        need = "a model of the hub needs the extra 'export': pip install 'onnxferry[export,image]'"
        raise UsageError(f"{e}; {need}") from e
    asked = hub_id.named(options.source)
    found = snapshots.fetch(asked, options.file)
    if found.graph and (more := _weights_elsewhere(found.folder, found.graph)):
        found = snapshots.fetch(asked, found.graph, more)
    record = {**found.record, **({"file": found.graph} if found.graph else {})}
    return Resolved(_taken(options, found.folder, found.graph), record)


def _weights_elsewhere(folder: Path, graph: str) -> list[str]:
    """The files that a graph keeps weights in and that are not there, as the model names them."""
    from onnxferry.scripts.prepare import onnx_file_io

    names = onnx_file_io.weight_files(folder / graph)
    where = (folder / graph).parent.relative_to(folder)
    return [(where / name).as_posix() for name in names if not (folder / where / name).exists()]


def _taken(options: Options, folder: Path, graph: str | None) -> Options:
    """Options of that folder, or of that .onnx file in it, which are checked anew."""
    if graph is None:
        return replace(options, source=str(folder))
    path = folder / graph
    places = [folder, path.parent, *([folder.parent] if folder.name == "onnx" else [])]
    found = replace(options, source=str(path), file=None)
    if options.task != TENSORS:  # which has no settings of a model
        words = options.tokenizer or _holding(places, TOKENIZER_FILE)
        found = replace(found, folder=_holding(places, CONFIG), tokenizer=words)
    check(found)
    return found


def _holding(places: Sequence[Path], name: str) -> Path | None:
    return next((place for place in places if (place / name).is_file()), None)
