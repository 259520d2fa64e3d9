"""The steps that store a package's files and register its model, code and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml.assets import Assets, needed_by
from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import DEPLOYED, MADE, VERSION, Names
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Action, Step, unless


def check_assets(names: Names, desired: DesiredState, assets: Assets) -> None:
    """Raise Refused where something of somebody else's has the name of what is to be made."""
    versions = [version for version in desired.versions.items() if version in assets.foreign]
    taken = [f"{kind} {names.asset(version)}" for kind, version in versions]
    blobs = {blob for kind in desired.files for blob in _blobs(names, desired, kind)}
    taken += sorted(blobs & assets.foreign_files)
    if taken:
        raise Refused(
            f"{names.where}: {', '.join(taken)} is there, and onnxferry did not make it (no mark"
            f" {MADE}={names.made}). Remove it, or choose another name: --name, or name in"
            " [model] of deploy.toml"
        )


def register(state: CurrentState, desired: DesiredState, assets: Assets) -> list[Step]:
    """Model and code with their files, and the environment. What no proved deployment refers to is
    removed when the run fails."""
    names, steps, facts = state.names, list[Step](), _facts(state.names, desired, assets)
    proved = (d for d in state.deployments if d.name not in state.unproved)
    needed = needed_by(names, (*proved, *state.batch))
    for kind, version in desired.versions.items():
        name, there = names.asset(version), (kind, version) in assets.versions
        own = {"version": version, **facts[kind]}
        made = [unless(there, kind, name, f"register_{kind}", own)]
        remove = [Step(Action.DELETE, kind, name, "delete_asset", {"version": version})]
        if kind in desired.files:
            blobs = _blobs(names, desired, kind)
            stored = set(blobs) <= set(assets.files.get((kind, version), ()))
            upload = _upload(names, desired, kind)
            made.insert(0, unless(stored, f"{kind} files", name, "upload", upload))
            files = {"files": blobs}
            remove.insert(0, Step(Action.DELETE, f"{kind} files", name, "delete_files", files))
        new = (kind, version) not in needed
        pairs = zip(made, remove, strict=True)
        steps += [replace(step, removal=back if new else None) for step, back in pairs]
    return steps


def _facts(names: Names, desired: DesiredState, assets: Assets) -> Mapping[str, dict[str, Any]]:
    """What each kind is registered with; without a code, code and environment are the service's."""
    folders = {kind: names.files(kind, desired.versions[kind]) for kind in desired.files}
    store = assets.datastore
    path, kind = names.path(store.name, folders["model"]), desired.model_type
    facts: dict[str, dict[str, Any]] = {"model": {"path": path, "type": kind}}
    if "code" in folders:
        facts["code"] = {"uri": f"{store.url}/{store.container}/{folders['code']}"}
        facts["environment"] = dict(desired.environment)
    tags = {**desired.tags, **_marks(names, desired)}
    return {kind: {**own, "tags": tags} for kind, own in facts.items()}


def _upload(names: Names, desired: DesiredState, kind: str) -> dict[str, Any]:
    # the names of a blob's metadata have no hyphens
    marks = {key.replace("-", ""): value for key, value in _marks(names, desired).items()}
    folder = names.files(kind, desired.versions[kind])
    return {"folder": folder, "marks": marks, **desired.files[kind]}


def _marks(names: Names, desired: DesiredState) -> dict[str, str]:
    return {MADE: names.made, VERSION: desired.version, DEPLOYED: desired.deployed}


def _blobs(names: Names, desired: DesiredState, kind: str) -> list[str]:
    folder = names.files(kind, desired.versions[kind])
    return [f"{folder}/{name}" for name in desired.files[kind]["files"]]
