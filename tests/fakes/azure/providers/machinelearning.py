"""Azure Machine Learning: workspaces, their datastores, what is registered in them, and managed
online endpoints that answer at https://NAME.inference.ml.localhost:PORT.

A deployment answers by the model that it was given: the files are fetched from the datastore's
blobs, and scored by `scoring` in this process, or by the hosting runtime whose URL a test has put
in `runtimes`. Every change of what serves is recorded, and whether it had proved itself.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry import scoring
from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import SUBSCRIPTION, AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.providers import autoscale, computes, data_collector
from tests.fakes.azure.providers.assets import SAS, WORKSPACES, Assets, forget, stamped
from tests.fakes.azure.providers.batch import BATCH_ENDPOINTS, BatchEndpoints
from tests.fakes.azure.providers.data_collector import DataCollector
from tests.fakes.azure.providers.mlflow_container import MlflowContainer, lacking
from tests.fakes.azure.providers.monitor_metrics import MonitorMetrics
from tests.fakes.azure.providers.online_scoring import KEY, OnlineScoring
from tests.fakes.azure.providers.online_settings import refused_deployment, refused_endpoint
from tests.fakes.azure.providers.online_shapes import DEPLOYMENT, DEPLOYMENTS, ENDPOINT, ENDPOINTS
from tests.fakes.azure.shapes import ANY, NEEDED
from tests.fakes.azure.store import Resource

__all__ = ["DEPLOYMENTS", "ENDPOINTS", "SAS", "WORKSPACES", "MachineLearning"]


_TRAFFIC = ("traffic", "mirrorTraffic")


@dataclass
class Served:
    """One change of an endpoint's traffic, and which of the deployments in it had answered a
    request with 200."""

    endpoint: str
    traffic: Mapping[str, int]
    proved: frozenset[str]


@dataclass
class MachineLearning(OnlineScoring):
    """The provider. `runtimes` maps a version of a model to the URL of a runtime that serves it,
    `answers` to a body that it answers instead; `container_logs` is what a deployment's containers
    print, by container or by deployment/container; `keys` those of an endpoint that is asked for
    them; `history` what served, in order; `most` the instances that were there at a time.
    Requests go to deployments by their shares; `statuses` and `latency` (ms) are what those of a
    deployment end with, where that is not what the container says, and `monitor` tells of them."""

    azure: AzureFake
    runtimes: dict[str, str] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    container_logs: dict[str, str] = field(default_factory=dict)
    history: list[Served] = field(default_factory=list)
    proved: set[str] = field(default_factory=set)
    most: int = 0
    assets: Assets = field(init=False)
    collector: DataCollector = field(init=False)
    routed: dict[str, dict[str, int]] = field(default_factory=dict)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    latency: dict[str, float] = field(default_factory=dict)
    due: dict[str, dict[str, int]] = field(default_factory=dict)  # by endpoint and deployment
    _scorers: dict[str, scoring.Scorer] = field(default_factory=dict)
    _containers: dict[str, MlflowContainer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.assets = Assets(self.azure)
        self.collector = DataCollector(self.azure)
        self.monitor = MonitorMetrics(self.azure)
        self.azure.arm.add(
            *autoscale.types(self.azure),
            ResourceType(WORKSPACES, {"location": NEEDED, "properties": ANY}),
            ResourceType(f"{WORKSPACES}/datastores", {"properties": ANY}),
            *self.assets.types,
            ResourceType(
                ENDPOINTS,
                ENDPOINT,
                slow=True,
                fill=self._fill_endpoint,
                check=self._check_endpoint,
                ends=self._route,
                on_delete=self._unroute,
            ),
            ResourceType(
                DEPLOYMENTS,
                DEPLOYMENT,
                slow=True,
                fill=self._fill_deployment,
                check=self._check_deployment,
                on_delete=self._check_unused,
            ),
        )
        self.batch = BatchEndpoints(self)
        group = "/subscriptions/[^/]+/resourceGroups/[^/]+"
        workspace = rf"{group}/providers/Microsoft.MachineLearningServices/workspaces/"
        own = rf"(?P<endpoint>{workspace}[^/]+/onlineEndpoints/[^/]+)"
        self.azure.add(
            Route("POST", rf"{workspace}[^/]+/datastores/[^/]+/listSecrets", self._secrets),
            Route("POST", rf"{own}/(?P<what>listKeys|token)", self._keys),
            Route("POST", rf"{own}/regenerateKeys", self._regenerate),
            Route("POST", rf"{own}/deployments/(?P<deployment>[^/]+)/getLogs", self._logs),
            *self.assets.routes,
            Route(
                "POST",
                r"(/api/v1/endpoint/[^/]+)?/score",
                self._score,
                r"[^.]+\.inference\.ml\.localhost(:\d+)?",
            ),
        )

    @property
    def undeletable(self) -> set[str]:
        """Kinds of assets ("codes") that are only archived."""
        return self.assets.undeletable

    def workspace(self, group: str = "rg", name: str = "work", account: str = "wsstore") -> str:
        """Put a resource group and in it a workspace with its datastore there; its id."""
        store, id_ = self.azure.store, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        store.put(id_, {"location": "westeurope"})
        id_ = f"{id_}/providers/{WORKSPACES}/{name}"
        facts = {"provisioningState": "Succeeded", "discoveryUrl": f"{self.azure.url}/discovery"}
        store.put(id_, {"location": "westeurope", "properties": facts})
        self.azure.blobs.create(account, "azureml-blobstore")
        store.put(
            f"{id_}/datastores/workspaceblobstore",
            {"properties": {**self._datastore(account), "isDefault": True}, **stamped()},
        )
        return id_

    def datastore(self, workspace: str, name: str, account: str, container: str) -> None:
        """Put another datastore there, with its container."""
        self.azure.blobs.create(account, container)
        facts = self._datastore(account, container)
        self.azure.store.put(f"{workspace}/datastores/{name}", {"properties": facts, **stamped()})

    def _datastore(self, account: str, container: str = "azureml-blobstore") -> dict[str, Any]:
        return {
            "datastoreType": "AzureBlob",
            "accountName": account,
            "containerName": container,
            "endpoint": self.azure.storage_suffix,
            "protocol": "https",
            "credentials": {"credentialsType": "AccountKey"},
        }

    def _secrets(self, call: Call, match: re.Match[str]) -> Answer:
        return self.azure.arm.refuse(call) or Answer(200, {"secretsType": "Sas", "sasToken": SAS})

    def _keys(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        endpoint = self.azure.store.get(match["endpoint"])
        if endpoint is None:
            return error(404, "NotFound", "no such endpoint")
        if match["what"].lower() == "token":
            return Answer(
                200,
                {
                    "accessToken": KEY,
                    "expiryTimeUtc": 0,
                    "refreshAfterTimeUtc": 0,
                    "tokenType": "Bearer",
                },
            )
        if refusal := _without_keys(endpoint):
            return refusal
        found = self.keys_of(endpoint["name"])
        return Answer(200, {f"{kind.lower()}Key": value for kind, value in found.items()})

    def _regenerate(self, call: Call, match: re.Match[str]) -> Answer:
        """Set a key to `keyValue`, which without one is new. The old one is refused at once."""
        if refusal := self.azure.arm.refuse(call):
            return refusal
        endpoint = self.azure.store.get(match["endpoint"])
        if endpoint is None:
            return error(404, "NotFound", "no such endpoint")
        if refusal := _without_keys(endpoint) or _busy(endpoint):
            return refusal
        kind, found = call.json.get("keyType"), self.keys_of(endpoint["name"])
        if set(call.json) - {"keyType", "keyValue"} or kind not in found:
            return error(400, "BadRequest", f"keyType must be one of {', '.join(found)}")
        found[kind] = call.json.get("keyValue") or f"{KEY}-{uuid.uuid4().hex}"
        headers = self.azure.operations.start(self.azure.url, lambda: None, location=True)
        return Answer(202, None, headers)

    def _logs(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        if self.azure.store.get(call.path.rpartition("/")[0]) is None:
            return error(404, "NotFound", "no such deployment")
        kind = call.json.get("containerType") or "InferenceServer"
        own = f"{call.path.split('/')[-2]}/{kind}"
        text = self.container_logs.get(own) or self.container_logs.get(kind, "ready\n")
        return Answer(200, {"content": "\n".join(text.splitlines()[-int(call.json["tail"]) :])})

    def _fill_endpoint(self, resource: Resource) -> None:
        properties = resource["properties"]
        host = f"{resource['name']}.inference.ml.localhost:{self.azure.port}"
        below = f"/api/v1/endpoint/{resource['name']}" if properties.get("compute") else ""
        properties |= {
            "scoringUri": f"https://{host}{below}/score",
            "swaggerUri": f"https://{host}/swagger.json",
        }
        properties["traffic"] = properties.get("traffic") or {}
        properties["mirrorTraffic"] = properties.get("mirrorTraffic") or {}
        properties["properties"] = properties.get("properties") or {}
        resource |= stamped()

    def _check_endpoint(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        if self.azure.store.get(call.path.rpartition("/onlineEndpoints/")[0]) is None:
            return error(404, "ResourceNotFound", "The workspace was not found.")
        if old is None and self._is_taken(call.path):
            said = "There is already an endpoint with this name, Endpoint name needs to be unique"
            return error(409, "Conflict", f"{said} within a region. Try some other name.")
        traffic = body["properties"].get("traffic") or {}
        if traffic and sum(traffic.values()) != 100:
            return error(400, "BadRequest", f"traffic must sum to 100, not {traffic}")
        for name in traffic:
            deployment = self.azure.store.get(f"{call.path}/deployments/{name}")
            if deployment is None or deployment["properties"]["provisioningState"] != "Succeeded":
                return error(
                    400,
                    "BadRequest",
                    f"deployment {name} of the traffic is not there, or not ready",
                )
        wrong = refused_endpoint(self.azure.store, old, body)
        wrong = wrong or data_collector.refused_mirror(self.azure.store, call, body)
        wrong = wrong or computes.refused_endpoint(self.azure.store, old, body["properties"])
        if refusal := wrong or _busy(old):
            return refusal
        forget(call, old)
        return None

    def _is_taken(self, id_: str) -> bool:
        """Whether another workspace of the region has an endpoint of that name."""
        space, _, name = id_.lower().partition(
            "/onlineendpoints/"
        )  # batch ones have such hosts, too
        region = (self.azure.store.get(space) or {}).get("location")
        return any(
            one["name"].lower() == name and one.get("location") == region
            for one in (*self.azure.store.all(ENDPOINTS), *self.azure.store.all(BATCH_ENDPOINTS))
        )

    def _route(self, resource: Resource) -> None:
        traffic = {
            name: share for name, share in resource["properties"]["traffic"].items() if share
        }
        if traffic != self.routed.get(resource["name"], {}):
            self.history.append(Served(resource["name"], traffic, frozenset(self.proved)))
            self.due[resource["name"]] = dict.fromkeys(traffic, 0)
        self.routed[resource["name"]] = traffic

    def _unroute(self, resource: Resource) -> Answer | None:
        if self.routed.pop(resource["name"], {}):
            self.history.append(Served(resource["name"], {}, frozenset(self.proved)))
        return None

    def _check_deployment(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        if self.azure.store.get(call.path.rpartition("/deployments/")[0]) is None:
            return error(404, "ResourceNotFound", "The endpoint was not found.")
        endpoint = self.azure.store.get(call.path.rpartition("/deployments/")[0]) or {}
        facts = body["properties"]
        wrong = computes.refused_deployment(self.azure.store, endpoint, facts)
        wrong = wrong or self._refuse_parts(facts)
        wrong = wrong or data_collector.refused(self.azure.store, facts)
        if refusal := wrong or refused_deployment(old, body) or _busy(old):
            return refusal
        here = call.path.rpartition("/")[0].lower() + "/"
        all_ = [d for d in self.azure.store.all(DEPLOYMENTS) if d["id"].lower().startswith(here)]
        running = sum(d["sku"]["capacity"] for d in all_ if d is not old)
        self.most = max(self.most, running + body["sku"]["capacity"])
        forget(call, old)
        return None

    def _refuse_parts(self, facts: dict[str, Any]) -> Answer | None:
        """A deployment has model, environment and code, or an MLflow model alone."""
        code = facts.get("codeConfiguration") or {}
        parts = [facts["model"], facts.get("environmentId"), code.get("codeId")]
        for id_ in filter(None, parts):
            if self.azure.store.get(id_) is None:
                return error(400, "BadRequest", f"not registered: {id_}")
        if all(parts):
            files = self.assets.files(self.azure.store.get(code["codeId"]) or {}, "codeUri")
            there = code["scoringScript"] in files
            return None if there else error(400, "BadRequest", "the script is not in the code")
        return self._without_code(facts, alone=not any(parts[1:]))

    def _without_code(self, facts: dict[str, Any], *, alone: bool) -> Answer | None:
        model = self.azure.store.get(facts["model"]) or {}
        kind = str(model.get("properties", {}).get("modelType", "")).lower()
        if kind not in ("mlflow_model", "mlflowmodel") or not alone:
            said = f"a deployment of a {kind} needs an environment and a scoring script"
            also = "; an MLflow model takes both or neither"
            return error(400, "BadRequest", said + (also if "mlflow" in kind else ""))
        if found := list(lacking(self.assets.files(model, "modelUri"))):
            said = f"User container has crashed or terminated: {'; '.join(found)}"
            self.azure.arm.failures[DEPLOYMENTS.lower()] = ("ResourceNotReady", said)
        return None

    def _fill_deployment(self, resource: Resource) -> None:
        _fill_deployment(resource)
        computes.fill_deployment(self.azure.store, resource)
        if not resource["properties"].get("environmentId"):
            self._make_environment(resource)

    def _make_environment(self, resource: Resource) -> None:
        """The one that the service makes of an MLflow model's conda.yaml, named by a hash; nobody
        else's."""
        facts = resource["properties"]
        name = hashlib.sha256(facts["model"].encode()).hexdigest()
        space = resource["id"].partition("/onlineEndpoints/")[0]
        id_ = f"{space}/environments/{name[:40]}/versions/{name[40:]}"
        image = "mcr.microsoft.com/azureml/curated/mlflow-py312-inference"
        made = {"image": image, "tags": {}, "properties": {}, "environmentType": "UserCreated"}
        self.azure.store.put(id_, {"properties": made, **stamped()})
        facts["environmentId"] = id_

    def _check_unused(self, resource: Resource) -> Answer | None:
        endpoint, _, name = resource["id"].partition("/deployments/")
        found = self.azure.store.get(endpoint)
        shares = [found["properties"][key].get(name) for key in _TRAFFIC] if found else []
        if any(shares):
            return error(400, "BadRequest", f"deployment {name} has traffic; it cannot be deleted")
        self.proved.discard(name)
        return None


def _fill_deployment(resource: Resource) -> None:
    data_collector.fill(resource)
    resource["properties"].setdefault("scaleSettings", {"scaleType": "Default"})
    resource["properties"]["properties"] = resource["properties"].get("properties") or {}
    resource |= stamped()


def _without_keys(endpoint: Resource) -> Answer | None:
    mode = endpoint["properties"]["authMode"]
    if mode.lower() == "key":
        return None
    return error(400, "BadRequest", f"The endpoint has no keys: its auth mode is {mode}.")


def _busy(old: Resource | None) -> Answer | None:
    if old and old["properties"].get("provisioningState") in ("Creating", "Updating", "Deleting"):
        return error(409, "Conflict", "Another operation on it is still running.")
    return None
