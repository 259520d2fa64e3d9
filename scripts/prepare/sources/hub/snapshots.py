"""A model of the hub as a folder here: only the files that are needed, at one commit, from the
client's cache where they are in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from onnxferry.scripts.prepare.hub_id import HubId
from onnxferry.scripts.prepare.sources.hub import client, model_files
from onnxferry.scripts.prepare.sources.hub.client import RemoteFile, RemoteModel, Unreachable
from onnxferry.scripts.prepare.sources.hub.download import Blobs
from onnxferry.scripts.prepare.sources.hub.model_files import Listing, size
from onnxferry.system import console
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError


@dataclass(frozen=True)
class Snapshot:
    """The files of `asked` at `commit` in `folder`; `graph`: the .onnx file among them to take."""

    asked: HubId
    commit: str
    folder: Path
    graph: str | None

    @property
    def record(self) -> Mapping[str, str]:
        """For the model directory's provenance."""
        name, revision = self.asked.name, self.asked.revision
        return {"name": name, "id": name, "revision": revision, "commit": self.commit}


@dataclass(frozen=True)
class Description:
    """The small files of a model in `folder`; `files`: all of it with their bytes, of which
    `download` bytes are needed and not here yet; `graph`: the .onnx file to take."""

    folder: Path
    files: Listing
    graph: str | None
    download: int


def commit(asked: HubId) -> str:
    """The commit that a revision is now. Raises PrepareError, or Unreachable."""
    if asked.pinned:
        return asked.revision
    with client.quiet_client():
        return client.model(asked).commit


def fetch(asked: HubId, file: str | None, more: Sequence[str] = ()) -> Snapshot:
    """Bring a model here, or its .onnx file `file`, with `more` of its files. Without the hub, and
    for a whole commit, what was fetched before is taken. Raises UsageError where the choice of the
    file is the user's, and PrepareError."""
    with client.quiet_client():
        held = _held(asked, file, more)
        if held and asked.pinned:
            return held
        if client.offline():
            return _from_cache(_whole(asked, held), f"{asked}: HF_HUB_OFFLINE is set")
        try:
            return _fetch(asked, file, more)
        except Unreachable as e:
            if not held:
                raise
            return _from_cache(held, str(e))


def describe(asked: HubId, file: str | None) -> Description:
    """A model by its small files, brought here, without its weights. Raises as `fetch`."""
    with client.quiet_client():
        held = _held(asked, file, ())
        if held and asked.pinned:
            return _here(held)
        if client.offline():
            return _here(_whole(asked, held))
        try:
            return _describe(asked, file)
        except Unreachable:
            if not held:
                raise
            console.err.print(f"{asked}: looked at in the cache", markup=False)
            return _here(held)


def _whole(asked: HubId, held: Snapshot | None) -> Snapshot:
    if held:
        return held
    why = f"HF_HUB_OFFLINE is set, so {client.endpoint()} is not asked"
    lacks = f"{client.cache()} does not hold all that is needed: unset it, or give a folder"
    raise Unreachable(f"{asked}: {why}, and {lacks}")


def _from_cache(held: Snapshot, why: str) -> Snapshot:
    console.err.print(f"{why}. Taken from the cache: commit {held.commit}", markup=False)
    return held


def _here(held: Snapshot) -> Description:
    return Description(held.folder, model_files.listing(held.folder), held.graph, 0)


def _describe(asked: HubId, file: str | None) -> Description:
    with console.stage(f"look at {asked}") as progress:
        model = client.model(asked)
        sizes = {path: remote.size for path, remote in model.files.items()}
        graph = model_files.onnx_file(sizes, file, str(asked))
        folders = _modules(asked, model, progress)
        wanted = model_files.needed(sizes, graph, folders)
        _check_weights(asked, model, wanted, graph)
        small = model_files.describing(sizes, folders)
        folder = _bring(asked, model, small, progress) if small else client.cache()
    lacking = Blobs(asked).lacking(model.files[path] for path in wanted)
    return Description(folder, sizes, graph, sum(remote.size for remote in lacking))


def _held(asked: HubId, file: str | None, more: Sequence[str]) -> Snapshot | None:
    """What the cache has of it, if it is all that is needed."""
    folder = client.cached(asked)
    if folder is None:
        return None
    files = model_files.listing(folder)
    try:
        graph = model_files.onnx_file(files, file, str(asked))
    except UsageError:
        return None
    whole = graph or _shards(folder, files) <= files.keys()
    return Snapshot(asked, folder.name, folder, graph) if whole and {*more} <= {*files} else None


def _shards(folder: Path, files: Listing) -> set[str]:
    """The files of weights that there must be: those of the index, or one that is not there."""
    found = model_files.weights(files, model_files.own_folders(files))
    for path in found:
        if path.endswith(".index.json"):
            names = json.loads((folder / path).read_bytes())["weight_map"].values()
            return {PurePosixPath(path).with_name(name).as_posix() for name in names}
    return {*found} or {"weights"}


def _fetch(asked: HubId, file: str | None, more: Sequence[str]) -> Snapshot:
    before = client.cached(asked)
    with console.stage(f"fetch {asked}") as progress:
        model = client.model(asked)
        sizes = {path: remote.size for path, remote in model.files.items()}
        graph = model_files.onnx_file(sizes, file, str(asked))
        modules = _modules(asked, model, progress)
        wanted = [*dict.fromkeys((*model_files.needed(sizes, graph, modules), *more))]
        _check_weights(asked, model, wanted, graph)
        folder = _bring(asked, model, wanted, progress)
        if not asked.pinned and before != folder:
            # what the cache calls this revision is this commit, now that all of it is there
            client.into_snapshot(asked, asked.revision, wanted[-1])
    if before and before.name != model.commit:
        moved = f"{asked.name}: {asked.revision} has moved from {before.name} to {model.commit}"
        console.err.print(moved, style="yellow", markup=False)
    return Snapshot(asked, model.commit, folder, graph)


def _modules(asked: HubId, model: RemoteModel, progress: Progress) -> list[str]:
    """The folders that a sentence-transformers model keeps its parts in, and ""."""
    if model_files.MODULES not in model.files:
        return [""]
    folder = _bring(asked, model, [model_files.MODULES], progress)
    parts = json.loads((folder / model_files.MODULES).read_bytes())
    return [*dict.fromkeys(("", *(str(part.get("path", "")) for part in parts)))]


def _check_weights(
    asked: HubId, model: RemoteModel, wanted: Sequence[str], graph: str | None
) -> None:
    if graph or any(path.endswith((".safetensors", ".bin")) for path in wanted):
        return
    large = sorted(model.files.values(), key=lambda file: -file.size)[:4]
    found = ", ".join(PurePosixPath(file.path).name for file in large) or "nothing"
    kinds = "model.safetensors, pytorch_model.bin or an .onnx file"
    raise UsageError(f"{asked}: holds no weights that can be read ({kinds}), but {found}")


def _bring(asked: HubId, model: RemoteModel, wanted: Sequence[str], progress: Progress) -> Path:
    """Have `wanted` in the snapshot's folder, and return that."""
    if missing := [path for path in wanted if path not in model.files]:
        raise UsageError(f"{asked}: holds no {', '.join(missing)}, which its own files name")
    files, blobs = [model.files[path] for path in wanted], Blobs(asked)
    lacking = blobs.lacking(files)
    blobs.check_room(lacking)
    _download(blobs, model, lacking, progress)
    for path in wanted:
        found = client.into_snapshot(asked, model.commit, path)
    return found.parents[path.count("/")]


def _download(
    blobs: Blobs, model: RemoteModel, lacking: Sequence[RemoteFile], progress: Progress
) -> None:
    whole, done = size(sum(file.size for file in lacking)), 0

    def counted(count: int) -> None:
        nonlocal done
        done += count
        progress(f"{size(done)} of {whole}")

    for file in lacking:
        blobs.bring(model, file, counted)
