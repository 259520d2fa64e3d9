"""The model directory that deploy.toml's [model] source stands for: prepared when it is not there,
or when the source or the flags are others than those that it was prepared from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.model_table import ModelTable
from onnxferry.scripts.prepare import hub_id
from onnxferry.scripts.prepare.asked import asked
from onnxferry.scripts.prepare.options import HUB, MODULE, Options, check
from onnxferry.system import console
from onnxferry.system.errors import UsageError
from onnxferry.system.options import MODELS


def default_folder(source: str) -> Path:
    """Where a source is prepared when no path is given."""
    found, path = hub_id.parse(source), Path(source)
    if found and not path.exists():
        return MODELS / found.name.rpartition("/")[2]
    if path.suffix == ".onnx":
        return MODELS / path.stem
    return MODELS / path.resolve().name.replace(":", "-")  # of module:factory


def options_of(table: ModelTable) -> Options:
    """The flags of prepare that the table stands for. Raises UsageError for what it cannot hold."""
    from onnxferry.scripts.prepare.selection.criteria import parse_share

    flags, source = table.flags, str(table.source)
    if "max_metric_drop" in flags:
        flags["max_metric_drop"] = parse_share(str(flags["max_metric_drop"]))
    options = Options(source, table.folder(), **flags)
    if options.kind == MODULE:
        what = "whether a module has changed cannot be told"
        advice = "prepare it by itself, and give its model directory as path"
        raise UsageError(f"[model] source {source}: {what}; {advice}")
    return options


def prepared(table: ModelTable) -> Path:
    """The model directory, made or made anew where it has to be. Raises UsageError and
    PrepareError; then it is as it was."""
    from onnxferry.scripts.prepare.pipeline import prepare

    options = options_of(table)
    check(options)
    before = _recorded(options.out)
    why = _changed(options, before)
    if not why:
        console.err.print(f"{options.out}: {_as_before(options, before)}", markup=False)
        return options.out
    console.err.print(f"{options.out}: {why}; preparing it from {options.source}", markup=False)
    prepare(options)
    return options.out


def _recorded(folder: Path) -> Mapping[str, Any]:
    """What the model directory was prepared from; {} where that is not known."""
    try:
        found: Mapping[str, Any] = ModelSpec.read(folder).provenance.get("asked", {})
    except ModelError:
        return {}
    return found


def _changed(options: Options, before: Mapping[str, Any]) -> str:
    """Why it must be prepared; "" where it need not be."""
    if not before:
        return "is not there, or was prepared otherwise"
    now = asked(options, _origin(options, before.get("source", {})))
    if now["flags"] != before.get("flags"):
        return f"what is asked of it has changed ({_different(now['flags'], before['flags'])})"
    source, held = now["source"], before["source"]
    if source == held:
        return ""
    if "commit" in source and source["id"] == held.get("id"):
        return f"its source was commit {held['commit']}, and is {source['commit']}"
    return "its source has changed"


def _different(now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    keys = sorted(key for key in {*now, *before} if now.get(key) != before.get(key))
    return ", ".join(keys)


def _origin(options: Options, before: Mapping[str, str]) -> Mapping[str, str]:
    """What the hub says of a source now; where it cannot be asked, that it is as it was."""
    if options.kind != HUB:
        return {}
    from onnxferry.scripts.prepare.sources.hub import snapshots
    from onnxferry.scripts.prepare.sources.hub.client import Unreachable

    wanted = hub_id.named(options.source)
    identity = {"id": wanted.name, "revision": wanted.revision}
    same = all(before.get(key) == value for key, value in identity.items())
    try:
        return {**identity, "commit": snapshots.commit(wanted)}
    except Unreachable as e:
        if not same:
            return {**identity, "commit": ""}  # prepare says what is to be done
        console.err.print(f"{e}. Commit {before['commit']} is kept", markup=False)
        return before


def _as_before(options: Options, before: Mapping[str, Any]) -> str:
    commit = before["source"].get("commit", "")
    return f"is as prepared from {options.source}{commit and f', commit {commit[:12]}'}"
