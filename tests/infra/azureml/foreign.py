"""Other people's things in a workspace, made by hypothesis: beside ours, below our names, with our
mark and another name, or with our name and no mark; and what of them is as it was."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from onnxferry.infra.azureml.names import MADE, VERSION, Names
from tests.fakes.azure.blob import Blob
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.azureml.conftest import NAME
from tests.infra.azureml.world import World

NAMES = Names(SUBSCRIPTION, "rg", "work", NAME)
WORKSPACE = NAMES.id("model", "1").partition("/models/")[0]
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/{NAME}"
OTHERS: tuple[Mapping[str, str], ...] = ({}, {MADE: "other"}, {"team": "ml"}, {VERSION: "0" * 12})
MINE = {MADE: NAME}


@dataclass(frozen=True)
class Asset:
    """A version of a "model", "environment" or "code"; `used` is a model or code of ours whose
    files it uses, too."""

    kind: str
    name: str
    version: str
    tags: Mapping[str, str]
    used: str


@dataclass(frozen=True)
class Deployment:
    """A deployment at `endpoint`, which gets `share` of the traffic or `mirror` of its copies;
    `used` is the version of our model that it runs."""

    endpoint: str
    name: str
    tags: Mapping[str, str]
    used: str
    share: int = 0
    mirror: int = 0


@dataclass(frozen=True)
class Foreign:
    """What is put there; `endpoint` is what somebody set on ours, whose mark is `lost` or not, and
    `taken` whether another workspace has its name."""

    assets: tuple[Asset, ...]
    blobs: tuple[tuple[str, Mapping[str, str]], ...]
    deployments: tuple[Deployment, ...]
    endpoint: Mapping[str, str]
    lost: bool
    taken: bool


def foreign(used: tuple[str, ...], blobs: tuple[str, ...]) -> st.SearchStrategy[Foreign]:
    """Worlds; `used` are versions of our models, and `blobs` names of our files."""
    lists = st.lists
    return st.builds(
        Foreign,
        lists(_assets(used), max_size=4).map(tuple),
        lists(st.tuples(_blob_names(used, blobs), st.sampled_from(OTHERS)), max_size=4).map(tuple),
        lists(_deployments(used), max_size=3).map(tuple),
        st.dictionaries(st.sampled_from(("cost", "team", "Onnxferry-x")), st.just("9"), max_size=2),
        _rarely(),
        _rarely(),
    )


def _rarely() -> st.SearchStrategy[bool]:
    return st.sampled_from((False,) * 7 + (True,))


def _assets(used: tuple[str, ...]) -> st.SearchStrategy[Asset]:
    kinds, names = (
        st.sampled_from(("model", "environment", "code")),
        st.sampled_from((NAME, "other")),
    )
    versions = st.sampled_from(("1", "2024-01", "0123456789ab", *used))
    ours = st.builds(Asset, kinds, names, versions, st.sampled_from(OTHERS), st.sampled_from(used))
    marked = st.just(MINE)
    return ours | st.builds(
        Asset, kinds, names, st.sampled_from(("1", "x" * 12)), marked, st.sampled_from(used)
    )


def _blob_names(used: tuple[str, ...], blobs: tuple[str, ...]) -> st.SearchStrategy[str]:
    folder = NAMES.folder
    fixed = (
        "data/train.csv",
        f"onnxferry/{NAME}/README.md",
        f"onnxferry/{NAME}/model-{used[0]}/model/model.onnx",
        f"onnxferry/other/work-000000/model-{used[0]}/model/model.onnx",
        f"{folder}/train/run1/model.safetensors",
        f"{folder}/model-{used[0]}/model/theirs.bin",
        f"{folder}/model-0123456789ab/model/model.onnx",
        f"{folder}/code-{used[-1]}/notes.txt",
        f"{folder}/lease.json.bak",
    )
    free = st.text("abm-/0.", min_size=1, max_size=12).map(lambda t: f"{folder}/{t.strip('/')}x")
    return st.sampled_from((*fixed, *blobs)) | free


def _deployments(used: tuple[str, ...]) -> st.SearchStrategy[Deployment]:
    names, endpoints = st.sampled_from(("blue", "green")), st.sampled_from((NAME, NAME, "other"))
    patterned = st.sampled_from(("v0123456789ab-abcdef",))
    share, mirror = st.sampled_from((0, 0, 0, 20)), st.sampled_from((0, 0, 10))
    versions, others = st.sampled_from(used), st.sampled_from(OTHERS)
    unmarked = st.builds(Deployment, endpoints, names | patterned, others, versions, share, mirror)
    return unmarked | st.builds(Deployment, endpoints, names, st.just(MINE), versions, share)


@dataclass
class Neighbours:
    """Keeps what is foreign in a world, and finds it unchanged."""

    world: World
    ids: dict[str, Any] = field(default_factory=dict)
    blobs: dict[str, Any] = field(default_factory=dict)
    endpoint: dict[str, Any] = field(default_factory=dict)

    def move_in(self, found: Foreign) -> None:
        """Put it there, where nothing is yet."""
        for asset in found.assets:
            self._put(
                f"{WORKSPACE}/{asset.kind}s/{asset.name}/versions/{asset.version}", _asset(asset)
            )
        for name, metadata in found.blobs:
            if name not in self.world.blobs:
                self.world.blobs[name] = Blob(b"theirs", dict(metadata))
                self.blobs[name] = self._blob(name)
        for one in found.deployments:
            self._deploy(one)
        if found.taken:
            self.world.ml.workspace("theirs", "elsewhere", "theirstore")
            there = WORKSPACE.replace("/rg/", "/theirs/").replace("/work", "/elsewhere")
            self._put(f"{there}/onlineEndpoints/{NAME}", {"location": "westeurope"})
        ours = self.world.azure.store.get(ENDPOINT)
        if ours:
            ours["tags"] |= found.endpoint
            if found.lost:
                ours["tags"].pop(MADE, None)
            if ENDPOINT in self.ids:
                self.ids[ENDPOINT] = copy.deepcopy(ours)
            self.endpoint = self._of_endpoint()

    def _put(self, id_: str, resource: dict[str, Any]) -> bool:
        store = self.world.azure.store
        if store.get(id_) is not None:
            return False
        self.ids[id_] = copy.deepcopy(store.put(id_, resource))
        return True

    def _deploy(self, one: Deployment) -> None:
        store, id_ = self.world.azure.store, f"{WORKSPACE}/onlineEndpoints/{one.endpoint}"
        template = self.world.templates
        if store.get(id_) is None:
            made = copy.deepcopy(template["endpoint"])
            self._put(
                id_, {**made, "tags": {}, "properties": {**made["properties"], "traffic": {}}}
            )
        found = copy.deepcopy(template["deployment"])
        found["properties"]["model"] = NAMES.id("model", one.used)
        if not self._put(f"{id_}/deployments/{one.name}", {**found, "tags": dict(one.tags)}):
            return
        there = store.get(id_)
        assert there
        self._shift(there["properties"], one)
        if id_ in self.ids:
            self.ids[id_] = copy.deepcopy(there)

    def _shift(self, properties: dict[str, Any], one: Deployment) -> None:
        traffic = properties["traffic"]
        if one.share and len(traffic) == 1:
            properties["traffic"] = {**dict.fromkeys(traffic, 100 - one.share), one.name: one.share}
            self.world.ml.routed[one.endpoint] = dict(properties["traffic"])
        if one.mirror and not properties.get("mirrorTraffic"):
            properties["mirrorTraffic"] = {one.name: one.mirror}

    def _blob(self, name: str) -> Any:
        found = self.world.blobs.get(name)
        return found and (found.data, dict(found.metadata), found.etag)

    def _of_endpoint(self) -> dict[str, Any]:
        """What is others' of the endpoint: all of one that is not ours."""
        found = copy.deepcopy(self.world.azure.store.get(ENDPOINT)) or {}
        if not found or found["tags"].get(MADE) != NAME or ENDPOINT in self.ids:
            return found
        theirs = {id_.rpartition("/")[2] for id_ in self.ids if id_.startswith(f"{ENDPOINT}/")}
        facts = found["properties"]
        return {
            "tags": {k: v for k, v in found["tags"].items() if not k.startswith("onnxferry")},
            "mirror": facts.get("mirrorTraffic") or {},
            "shares": {n: s for n, s in (facts.get("traffic") or {}).items() if n in theirs},
            "properties": facts.get("properties") or {},
        }

    def unchanged(self) -> None:
        """Assert it. An endpoint of ours, with nobody else's deployment in it, may be gone."""
        store = self.world.azure.store
        assert {id_: store.get(id_) for id_ in self.ids} == self.ids
        assert {name: self._blob(name) for name in self.blobs} == self.blobs
        shared = any(id_.startswith(f"{ENDPOINT}/") for id_ in self.ids)
        if self.endpoint and (shared or store.get(ENDPOINT)):
            assert self._of_endpoint() == self.endpoint
        elif store.get(ENDPOINT) is None:
            self.endpoint = {}

    def references(self) -> dict[str, set[str]]:
        """What each deployment of the endpoint needs and has, down to its model's files; and what
        others' models of its name use of ours."""
        store, found = self.world.azure.store, dict[str, set[str]]()
        for one in store.everything():
            if "/deployments/" in one["id"] and not one["id"].startswith(f"{ENDPOINT}/"):
                continue
            facts = one.get("properties") or {}
            ids = [facts.get("model"), facts.get("environmentId")]
            ids += [(facts.get("codeConfiguration") or {}).get("codeId")]
            assets = [a for id_ in ids if id_ and (a := store.get(id_))]
            assets += [one] if one["id"] in self.ids and f"/models/{NAME}/" in one["id"] else []
            uris = [
                str((a["properties"] or {}).get("modelUri", ""))
                for a in assets
                if "properties" in a
            ]
            folders = [u.partition("/paths/")[2] for u in uris if NAMES.folder in u]
            files = [name for name in self.world.blobs for f in folders if name.startswith(f"{f}/")]
            found[one["id"]] = {*(asset["id"] for asset in assets), *files}
        return found


def _asset(one: Asset) -> dict[str, Any]:
    path = NAMES.path("workspaceblobstore", NAMES.files("model", one.used))
    own: dict[str, dict[str, Any]] = {
        "model": {"modelUri": path, "flavors": {}, "tags": dict(one.tags)},
        "code": {"codeUri": "https://elsewhere/code"},
        "environment": {"image": "theirs", "tags": dict(one.tags)},
    }
    return {"properties": {"tags": {}, "properties": {}, **own[one.kind]}}
