"""Which files of a model are needed, by their names alone: the same choice for a folder here and
for the hub's listing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from onnxferry.system.errors import UsageError

Listing = Mapping[str, int]  # file of a model, with / -> its bytes
MODULES = "modules.json"
# what transformers, sentence-transformers, peft and tokenizers read besides weights
_DESCRIBING = (
    *("config.json", "*_config.json", "config_*.json", MODULES, "tokenizer.json", "vocab*.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab*.txt", "merges.txt", "bpe.codes"),
    *("*.model", "*.jinja"),
)
# the first kind that a folder has is taken: one file, or shards with their index
_WEIGHTS = (
    r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?",
    r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?",
    r"adapter_model\.(safetensors|bin)",
)
_ONNX = ".onnx"


def listing(folder: Path) -> Listing:
    """The files of a folder, hidden ones apart."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return {path.as_posix(): (folder / path).stat().st_size for path in sorted(visible)}


def onnx_file(files: Listing, asked: str | None, source: str) -> str | None:
    """The .onnx file to take: the one `asked` for by its path, or by its name alone where that is
    no other's; else the only one of a model without weights for PyTorch, for which None stands.
    Raises UsageError with the list where that leaves several, or none; and for an adapter."""
    if "adapter_config.json" in files and "config.json" not in files:
        advice = "give its base model as SOURCE, and the adapter's folder as --adapter"
        raise UsageError(f"{source}: is an adapter, not a whole model; {advice}")
    found = sorted(path for path in files if path.endswith(_ONNX))
    if asked is not None:
        return _asked(files, found, asked, source)
    if weights(files, own_folders(files)):
        return None
    if len(found) > 1:
        listed = _listed(files, found)
        raise UsageError(f"{source}: holds several .onnx files; choose one with --file:{listed}")
    return found[0] if found else None


def own_folders(files: Listing) -> list[str]:
    """Where a model has its own weights: older sentence-transformers, in 0_Transformer."""
    first = {path.partition("/")[0] for path in files if re.match(r"0_\w+/", path)}
    return ["", *sorted(first)]


def _asked(files: Listing, found: list[str], asked: str, source: str) -> str:
    path = PurePosixPath(asked).as_posix()
    named = [path] if path in found else [p for p in found if PurePosixPath(p).name == path]
    if len(named) == 1:
        return named[0]
    what = "names several .onnx files" if named else "no such .onnx file"
    listed = f"; it holds:{_listed(files, found)}" if found else ", nor any other"
    raise UsageError(f"--file {asked}: {what} in {source}{listed}")


def _listed(files: Listing, paths: Iterable[str]) -> str:
    rows = ((path, size(sum(files[p] for p in beside(files, path)))) for path in paths)
    return "".join(f"\n  {path}  {text}" for path, text in rows)


def size(count: int) -> str:
    """Bytes as people read them."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"


def beside(files: Listing, graph: str) -> list[str]:
    """A graph, and the files of weights that are named after it."""
    return [path for path in files if path == graph or path.startswith((f"{graph}.", f"{graph}_"))]


def weights(files: Listing, folders: Iterable[str]) -> list[str]:
    """The weights for PyTorch in each of `folders` ("": the model's own): safetensors first."""
    found = []
    for folder in folders:
        names = _in(files, folder)
        kinds = ([n for n in names if re.fullmatch(kind, n)] for kind in _WEIGHTS)
        found += [_join(folder, name) for name in next(filter(None, kinds), [])]
    return found


def describing(files: Listing, folders: Iterable[str]) -> list[str]:
    """The configurations and tokenizers in each of `folders`."""
    return [
        _join(folder, name)
        for folder in folders
        for name in _in(files, folder)
        if any(fnmatchcase(name, pattern) for pattern in _DESCRIBING)
    ]


def needed(files: Listing, graph: str | None, folders: Iterable[str]) -> list[str]:
    """All files to have: of an .onnx file, `graph`, the weights beside it and what describes it;
    else the weights for PyTorch. `folders`: those of the model's modules, and "" for itself."""
    if graph is None:
        return [*describing(files, folders), *weights(files, folders)]
    own, at_top = PurePosixPath(graph).parent.as_posix(), "/" not in graph
    places = dict.fromkeys((*folders, "" if at_top else own))
    return [*describing(files, places), *beside(files, graph)]


def _in(files: Listing, folder: str) -> list[str]:
    """The names of the files directly in a folder."""
    paths = (PurePosixPath(path) for path in files)
    where = folder.strip("/") or "."
    return [path.name for path in paths if str(path.parent) == where]


def _join(folder: str, name: str) -> str:
    return f"{folder.strip('/')}/{name}" if folder.strip("/") else name
