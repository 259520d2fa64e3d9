"""What deploying has registered and stored in the workspace, and what of it nobody needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from onnxferry.infra.azureml.names import Names, Version
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azureml_types import Datastore, ManagedDeployment


@dataclass(frozen=True)
class Assets:
    """`versions` are registered and `files` stored, by the model or code that they are of; all are
    ours. `foreign` have our name and not our mark: versions, and blobs. `referred` are versions
    whose files a foreign version of the model uses."""

    versions: frozenset[Version] = frozenset()
    files: dict[Version, list[str]] = field(default_factory=dict)
    foreign: frozenset[Version] = frozenset()
    foreign_files: frozenset[str] = frozenset()
    referred: frozenset[Version] = frozenset()
    datastore: Datastore = field(default_factory=lambda: Datastore("", "", ""))

    def unused(self, needed: Iterable[Version]) -> Assets:
        """What of ours is not among `needed`."""
        keep = {*needed, *self.referred}
        files = {version: names for version, names in self.files.items() if version not in keep}
        return Assets(frozenset(v for v in self.versions if v not in keep), files)

    @property
    def file_names(self) -> list[str]:
        """All files."""
        return sorted(name for names in self.files.values() for name in names)


def needed_by(names: Names, deployments: Iterable[ManagedDeployment]) -> set[Version]:
    """The versions of this endpoint's name that the deployments refer to."""
    ids = (id_ for one in deployments for id_ in one.assets.values())
    return {version for id_ in ids if (version := names.version_of(id_))}


def read_assets(clients: Clients, names: Names, wanted: Iterable[Version] = ()) -> Assets:
    """What has this endpoint's name. `wanted` codes are looked for, whether or not they have
    files."""
    store, blobs = clients.workspace.opened()
    stored = blobs.list(f"{names.folder}/")
    files: dict[Version, list[str]] = {}
    for name in sorted(stored):
        of = names.file_of(name)
        if of and names.is_ours(stored[name]):
            files.setdefault(of, []).append(name)
    mine = {name for found in files.values() for name in found}
    foreign_files = frozenset(set(stored) - mine - {names.lease})
    registered, referred = _registered(clients, names)
    codes = {version for version in (*files, *wanted) if version[0] == "code"}
    registered |= _codes(clients, names, codes, store)
    ours = frozenset(version for version, is_ours in registered.items() if is_ours)
    foreign = frozenset(registered) - ours
    return Assets(ours, files, foreign, foreign_files, referred, store)


def _registered(clients: Clients, names: Names) -> tuple[dict[Version, bool], frozenset[Version]]:
    """The models and environments, and whether each is ours; whose files foreign models use."""
    found: dict[Version, bool] = {}
    referred = set()
    for kind in ("model", "environment"):
        for version, (tags, path) in clients.workspace.versions(kind, names.endpoint).items():
            found[kind, version] = names.owns_version(version, tags)
            _, inside, rest = path.partition(f"{names.folder}/")
            of = names.file_of(f"{names.folder}/{rest.strip('/')}/-") if inside else None
            if of and not found[kind, version]:
                referred.add(of)
    return found, frozenset(referred)


def _codes(
    clients: Clients, names: Names, codes: Iterable[Version], store: Datastore
) -> dict[Version, bool]:
    """Those of `codes` that are registered. One that is ours has its files where we put them."""
    found = {}
    for kind, version in codes:
        facts = (clients.resources.get(names.id(kind, version)) or {}).get("properties") or {}
        if facts and not facts.get("isArchived"):
            uri = f"{store.url}/{store.container}/{names.files(kind, version)}"
            found[kind, version] = str(facts.get("codeUri", "")).rstrip("/") == uri
    return found
