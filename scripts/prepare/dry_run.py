"""What prepare would make, told without torch and without downloading weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import SPEC_FILE, TOKENIZER_FILE
from onnxferry.scripts.prepare import disk_space
from onnxferry.scripts.prepare.options import Options, check
from onnxferry.scripts.prepare.sources.hub.model_files import size
from onnxferry.scripts.prepare.sources.inspection.inspection import Inspection, inspect
from onnxferry.scripts.prepare.sources.inspection.source_checks import needed_room
from onnxferry.scripts.prepare.sources.inspection.source_folder import SourceFolder
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object

_SHOWN = 8  # labels


def lines(options: Options) -> list[str]:
    """One for each thing that is known. Raises UsageError with all that is wrong."""
    from onnxferry.scripts.prepare.variants.table import SHIPPED  # it brings onnx

    check(options)
    found = inspect(options)
    variants = [variant.name for variant in SHIPPED.asked(options)]
    told = dict(_source(found))
    told["variants"] = f"{', '.join(variants)}; those that do not fit the graph are left out"
    told["out"] = f"{options.out}, {_replaced(options.out)}"
    if found.folder:
        told |= dict(_costs(found.folder, options.out))
    rows = [*told.items(), *(("note", note) for note in found.notes)]
    return [f"{what:10} {value}" for what, value in rows]


def _source(found: Inspection) -> Iterator[tuple[str, str]]:
    options, folder = found.options, found.folder
    yield "source", _named(folder) if folder else options.source
    how = "asked for" if options.task else "told by the model's files"
    yield "task", f"{found.task} ({how})"
    if names := found.labels:
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield "labels", f"{len(names)}: {', '.join(names[:_SHOWN])}{more}"
    words = options.tokenizer or (folder.model if folder else None)
    if words and (kind := _tokenizer(words)):
        yield "tokenizer", kind
    if options.settings:
        yield "settings", json.dumps(read_object(options.settings, "--settings "))


def _named(folder: SourceFolder) -> str:
    classes = folder.config.get("architectures") or [folder.config.get("model_type")]
    files = folder.weights
    held = files[0] if len(files) == 1 else f"{len(files)} files"
    weights = f"{held}, {size(folder.weight_bytes)}"
    return f"{folder.options.source}: {', '.join(map(str, classes))}; {weights}"


def _tokenizer(folder: Path) -> str:
    """Its class, its kind, the size of its vocabulary and its longest text, as far as told."""
    config = _object(folder / "tokenizer_config.json")
    model = _object(folder / TOKENIZER_FILE).get("model") or {}
    limit, words = config.get("model_max_length"), model.get("vocab") or ()
    told: list[Any] = [config.get("tokenizer_class"), model.get("type")]
    told += [f"{len(words):,} tokens"] if words else []
    told += [f"texts of up to {limit:,}"] if isinstance(limit, int) and limit < 1_000_000 else []
    return ", ".join(str(part) for part in told if part)


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except UsageError:
        return {}


def _replaced(out: Path) -> str:
    return "in the place of the model there" if (out / SPEC_FILE).is_file() else "new"


def _costs(folder: SourceFolder, out: Path) -> Iterator[tuple[str, str]]:
    free = size(disk_space.free(out))
    yield "disk", f"about {size(needed_room(folder))} while it is prepared; {free} are free"
    yield "download", size(folder.download) if folder.download else "nothing"
