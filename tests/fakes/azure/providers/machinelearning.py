"""Azure Machine Learning: workspaces, their datastores, what is registered in them, and managed
online endpoints that answer at https://NAME.inference.ml.localhost:PORT.

A deployment answers by the model that it was given: the files are fetched from the datastore's
blobs, and scored by `scoring` in this process, or by the hosting runtime whose URL a test has put
in `runtimes`. Every change of what serves is recorded, and whether it had proved itself.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from onnxferry import scoring
from onnxferry.scoring.wire import Request
from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import SUBSCRIPTION, AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import now, signed_in
from tests.fakes.azure.providers.mlflow_container import MlflowContainer, lacking
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
ENDPOINTS = f"{WORKSPACES}/onlineEndpoints"
DEPLOYMENTS = f"{ENDPOINTS}/deployments"
KEY = "a-key-that-must-never-be-printed"
SAS = "sv=2025-01-05&sig=a-signature-that-must-never-be-printed"
HEADER = "azureml-model-deployment"

_ASSET = {"tags": ANY, "properties": ANY, "description": MAY, "isAnonymous": MAY, "isArchived": MAY}
_PROBE = {
    "initialDelay": MAY,
    "period": MAY,
    "timeout": MAY,
    "successThreshold": MAY,
    "failureThreshold": MAY,
}
_IDENTITY = {"type": NEEDED, "userAssignedIdentities": ANY}
_ENDPOINT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": _IDENTITY,
    "properties": {
        NEEDED: True,
        "authMode": NEEDED,
        "description": MAY,
        "properties": ANY,
        "traffic": ANY,
        "mirrorTraffic": ANY,
        "publicNetworkAccess": MAY,
    },
}
_DEPLOYMENT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": _IDENTITY,
    "sku": {NEEDED: True, "name": NEEDED, "capacity": NEEDED},
    "properties": {
        NEEDED: True,
        "endpointComputeType": NEEDED,
        "model": NEEDED,
        "environmentId": MAY,
        "instanceType": NEEDED,
        "codeConfiguration": {"codeId": NEEDED, "scoringScript": NEEDED},
        "environmentVariables": ANY,
        "requestSettings": {
            "requestTimeout": MAY,
            "maxConcurrentRequestsPerInstance": MAY,
            "maxQueueWait": MAY,
        },
        "livenessProbe": _PROBE,
        "readinessProbe": _PROBE,
        "scaleSettings": ANY,
        "appInsightsEnabled": MAY,
        "properties": ANY,
        "description": MAY,
        "modelMountPath": MAY,
        "egressPublicNetworkAccess": MAY,
    },
}


_TRAFFIC = ("traffic", "mirrorTraffic")


@dataclass
class Served:
    """One change of an endpoint's traffic, and which of the deployments in it had answered a
    request with 200."""

    endpoint: str
    traffic: Mapping[str, int]
    proved: frozenset[str]


@dataclass
class MachineLearning:
    """The provider. `runtimes` maps a version of a model to the URL of a runtime that serves it,
    `answers` to a body that it answers instead; `container_logs` is what a deployment's containers
    print; `history` what served, in order; `most` the instances that were there at a time.
    `undeletable` are kinds of assets ("codes") that are only archived."""

    azure: AzureFake
    runtimes: dict[str, str] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    container_logs: dict[str, str] = field(default_factory=dict)
    history: list[Served] = field(default_factory=list)
    proved: set[str] = field(default_factory=set)
    undeletable: set[str] = field(default_factory=set)
    most: int = 0
    routed: dict[str, dict[str, int]] = field(default_factory=dict)
    _scorers: dict[str, scoring.Scorer] = field(default_factory=dict)
    _containers: dict[str, MlflowContainer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.azure.arm.add(
            ResourceType(WORKSPACES, {"location": NEEDED, "properties": ANY}),
            ResourceType(f"{WORKSPACES}/datastores", {"properties": ANY}),
            self._asset(
                "models", {"modelUri": NEEDED, "modelType": MAY, "stage": MAY, "flavors": ANY}
            ),
            self._asset("environments", {"image": NEEDED, "condaFile": MAY, "osType": MAY}),
            self._asset("codes", {"codeUri": NEEDED}),
            ResourceType(
                ENDPOINTS,
                _ENDPOINT,
                slow=True,
                fill=self._fill_endpoint,
                check=self._check_endpoint,
                ends=self._route,
                on_delete=self._unroute,
            ),
            ResourceType(
                DEPLOYMENTS,
                _DEPLOYMENT,
                slow=True,
                fill=self._fill_deployment,
                check=self._check_deployment,
                on_delete=self._check_unused,
            ),
        )
        group = "/subscriptions/[^/]+/resourceGroups/[^/]+"
        workspace = rf"{group}/providers/Microsoft.MachineLearningServices/workspaces/"
        own = rf"(?P<endpoint>{workspace}[^/]+/onlineEndpoints/[^/]+)"
        self.azure.add(
            Route("POST", rf"{workspace}[^/]+/datastores/[^/]+/listSecrets", self._secrets),
            Route("POST", rf"{own}/(?P<what>listKeys|token)", self._keys),
            Route("POST", rf"{own}/deployments/(?P<deployment>[^/]+)/getLogs", self._logs),
            Route(
                "GET",
                rf"{workspace}[^/]+/(models|environments|codes)/[^/]+/versions",
                self._versions,
            ),
            Route("POST", r"/score", self._score, r"[^.]+\.inference\.ml\.localhost(:\d+)?"),
        )

    def workspace(self, group: str = "rg", name: str = "work", account: str = "wsstore") -> str:
        """Put a resource group and in it a workspace with its datastore there; its id."""
        store, id_ = self.azure.store, f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        store.put(id_, {"location": "westeurope"})
        id_ = f"{id_}/providers/{WORKSPACES}/{name}"
        store.put(id_, {"location": "westeurope", "properties": {"provisioningState": "Succeeded"}})
        self.azure.blobs.create(account, "azureml-blobstore")
        facts = {
            "datastoreType": "AzureBlob",
            "accountName": account,
            "containerName": "azureml-blobstore",
            "endpoint": self.azure.storage_suffix,
            "protocol": "https",
            "isDefault": True,
            "credentials": {"credentialsType": "AccountKey"},
        }
        store.put(f"{id_}/datastores/workspaceblobstore", {"properties": facts, **_stamped()})
        return id_

    def _asset(self, kind: str, own: Mapping[str, Any]) -> ResourceType:
        shape = {"properties": {NEEDED: True, **_ASSET, **own}}
        return ResourceType(
            f"{WORKSPACES}/{kind}/versions",
            shape,
            fill=_fill_asset,
            check=_check_asset,
            on_delete=lambda resource: self._check_deletable(kind),
        )

    def _check_deletable(self, kind: str) -> Answer | None:
        if kind not in self.undeletable:
            return None
        return error(405, "MethodNotAllowed", f"DELETE is not supported on {kind}; archive it.")

    def _versions(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        found = self.azure.store.children(call.path)
        if not found:
            return error(404, "UserError", f"Could not find asset {call.path.split('/')[-2]}")
        if call.query.get("listViewType", "ActiveOnly") == "ActiveOnly":
            found = [one for one in found if not one["properties"].get("isArchived")]
        return Answer(200, {"value": found})

    def _secrets(self, call: Call, match: re.Match[str]) -> Answer:
        return self.azure.arm.refuse(call) or Answer(200, {"secretsType": "Sas", "sasToken": SAS})

    def _keys(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        if self.azure.store.get(match["endpoint"]) is None:
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
        return Answer(200, {"primaryKey": KEY, "secondaryKey": f"{KEY}-2"})

    def _logs(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        if self.azure.store.get(call.path.rpartition("/")[0]) is None:
            return error(404, "NotFound", "no such deployment")
        text = self.container_logs.get(
            call.json.get("containerType") or "InferenceServer", "ready\n"
        )
        return Answer(200, {"content": "\n".join(text.splitlines()[-int(call.json["tail"]) :])})

    def _fill_endpoint(self, resource: Resource) -> None:
        properties = resource["properties"]
        host = f"{resource['name']}.inference.ml.localhost:{self.azure.port}"
        properties |= {
            "scoringUri": f"https://{host}/score",
            "swaggerUri": f"https://{host}/swagger.json",
        }
        properties["traffic"] = properties.get("traffic") or {}
        properties["mirrorTraffic"] = properties.get("mirrorTraffic") or {}
        properties["properties"] = properties.get("properties") or {}
        resource |= _stamped()

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
        if refusal := _busy(old):
            return refusal
        _forget(call, old)
        return None

    def _is_taken(self, id_: str) -> bool:
        """Whether another workspace of the region has an endpoint of that name."""
        space, _, name = id_.lower().partition("/onlineendpoints/")
        region = (self.azure.store.get(space) or {}).get("location")
        return any(
            one["name"].lower() == name and one.get("location") == region
            for one in self.azure.store.all(ENDPOINTS)
        )

    def _route(self, resource: Resource) -> None:
        traffic = {
            name: share for name, share in resource["properties"]["traffic"].items() if share
        }
        if traffic != self.routed.get(resource["name"], {}):
            self.history.append(Served(resource["name"], traffic, frozenset(self.proved)))
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
        if refusal := self._refuse_parts(body["properties"]) or _busy(old):
            return refusal
        here = call.path.rpartition("/")[0].lower() + "/"
        all_ = [d for d in self.azure.store.all(DEPLOYMENTS) if d["id"].lower().startswith(here)]
        running = sum(d["sku"]["capacity"] for d in all_ if d is not old)
        self.most = max(self.most, running + body["sku"]["capacity"])
        _forget(call, old)
        return None

    def _refuse_parts(self, facts: dict[str, Any]) -> Answer | None:
        """A deployment has model, environment and code, or an MLflow model alone."""
        code = facts.get("codeConfiguration") or {}
        parts = [facts["model"], facts.get("environmentId"), code.get("codeId")]
        for id_ in filter(None, parts):
            if self.azure.store.get(id_) is None:
                return error(400, "BadRequest", f"not registered: {id_}")
        if all(parts):
            files = self._files(self.azure.store.get(code["codeId"]) or {}, "codeUri")
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
        if found := list(lacking(self._files(model, "modelUri"))):
            said = f"User container has crashed or terminated: {'; '.join(found)}"
            self.azure.arm.failures[DEPLOYMENTS.lower()] = ("ResourceNotReady", said)
        return None

    def _fill_deployment(self, resource: Resource) -> None:
        _fill_deployment(resource)
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
        self.azure.store.put(id_, {"properties": made, **_stamped()})
        facts["environmentId"] = id_

    def _check_unused(self, resource: Resource) -> Answer | None:
        endpoint, _, name = resource["id"].partition("/deployments/")
        found = self.azure.store.get(endpoint)
        shares = [found["properties"][key].get(name) for key in _TRAFFIC] if found else []
        if any(shares):
            return error(400, "BadRequest", f"deployment {name} has traffic; it cannot be deleted")
        self.proved.discard(name)
        return None

    def _score(self, call: Call, match: re.Match[str]) -> Answer:
        name = call.host.partition(".")[0]
        endpoint = next(
            (e for e in self.azure.store.all(ENDPOINTS) if e["name"].lower() == name), None
        )
        if endpoint is None:
            return Answer(404, {"error": {"message": "no such endpoint"}})
        if not signed_in(call) and call.headers.get("authorization") != f"Bearer {KEY}":
            return Answer(401, {"error": {"message": "key_auth_access_denied"}})
        routed = self.routed.get(endpoint["name"], {})
        name = call.headers.get(HEADER) or max(routed, key=lambda key: routed[key], default="")
        deployment = self.azure.store.get(f"{endpoint['id']}/deployments/{name}")
        if deployment is None or deployment["properties"]["provisioningState"] != "Succeeded":
            return Answer(404, {"error": {"message": f"no deployment {name} is ready"}})
        return self._answered(call, deployment)

    def _answered(self, call: Call, deployment: Resource) -> Answer:
        status, body, kind = self._container(call, deployment["properties"]["model"])
        headers = {HEADER: deployment["name"], "Content-Type": kind}
        if status == 200:
            self.proved.add(deployment["name"])
            return Answer(200, body, headers)
        told = {
            "ms-azureml-model-error-statuscode": str(status),
            "ms-azureml-model-error-reason": "model_error",
        }
        return Answer(424, body, {**headers, **told})

    def _container(self, call: Call, model: str) -> tuple[int, bytes, str]:
        version = model.rpartition("/")[2]
        kind, accept = call.headers.get("content-type", ""), call.headers.get("accept", "*/*")
        if version in self.answers:
            return 200, self.answers[version], "application/json"
        if version in self.runtimes:
            own = {"Content-Type": kind, "Accept": accept}
            answer = httpx.post(
                self.runtimes[version], content=call.body, headers=own, timeout=60, trust_env=False
            )
            return answer.status_code, answer.content, answer.headers.get("content-type", "")
        registered = self.azure.store.get(model) or {}
        if registered.get("properties", {}).get("modelType") == "mlflow_model":
            return self._mlflow(model, registered).answer(call.body)
        response = self._scorer(model).handle(Request(call.body, kind, accept))
        return response.status, response.body, response.content_type

    def _mlflow(self, model: str, registered: Resource) -> MlflowContainer:
        if model not in self._containers:
            self._containers[model] = MlflowContainer(self._files(registered, "modelUri"))
        return self._containers[model]

    def _scorer(self, model: str) -> scoring.Scorer:
        """What the model's files in the datastore score."""
        if model not in self._scorers:
            with tempfile.TemporaryDirectory() as folder:
                for name, data in self._files(
                    self.azure.store.get(model) or {}, "modelUri"
                ).items():
                    (Path(folder) / name).write_bytes(data)
                self._scorers[model] = scoring.load(Path(folder))
        return self._scorers[model]

    def _files(self, asset: Resource, key: str) -> dict[str, bytes]:
        """The files below the folder that a model's or a code's URI names."""
        uri = asset.get("properties", {}).get(key, "")
        folder = re.split(r"/paths/|/azureml-blobstore/", uri)[-1] + "/"
        return {
            name[len(folder) :]: blob.data or b""
            for account in self.azure.blobs.accounts.values()
            for name, blob in account.get("azureml-blobstore", {}).items()
            if name.startswith(folder)
        }


def _check_asset(call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
    uris = ("modelUri", "codeUri", "condaFile", "image")
    if old and any(old["properties"].get(key) != body["properties"].get(key) for key in uris):
        return error(
            400, "UserError", "A version that is registered cannot be given other content."
        )
    _forget(call, old)
    return None


def _fill_asset(resource: Resource) -> None:
    properties = resource["properties"]
    for key in ("tags", "properties", *(["flavors"] if "modelUri" in properties else [])):
        properties[key] = properties.get(key) or {}
    resource |= _stamped()


def _fill_deployment(resource: Resource) -> None:
    resource["properties"].setdefault("scaleSettings", {"scaleType": "Default"})
    resource["properties"]["properties"] = resource["properties"].get("properties") or {}
    resource |= _stamped()


def _busy(old: Resource | None) -> Answer | None:
    if old and old["properties"].get("provisioningState") in ("Creating", "Updating", "Deleting"):
        return error(409, "Conflict", "Another operation on it is still running.")
    return None


def _forget(call: Call, old: Resource | None) -> None:
    """A PUT replaces what a resource was: what its body does not have is gone."""
    if old and call.method == "PUT":
        own = ("provisioningState", "scoringUri", "swaggerUri")
        old["properties"] = {key: old["properties"][key] for key in own if key in old["properties"]}


def _stamped() -> dict[str, Any]:
    who = {
        "createdBy": "someone",
        "createdByType": "User",
        "createdAt": now(),
        "lastModifiedAt": now(),
    }
    return {"systemData": who}
