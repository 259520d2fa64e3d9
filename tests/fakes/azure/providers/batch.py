"""Batch endpoints of a workspace, their deployments, and the jobs that these take at
https://NAME.inference.ml.localhost:PORT/jobs. Jobs themselves: batch_jobs.py."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import now, signed_in
from tests.fakes.azure.operations import SOON
from tests.fakes.azure.providers.batch_jobs import ENDED, JOBS, STATES, Run
from tests.fakes.azure.providers.computes import computes
from tests.fakes.azure.shapes import ANY, MAY, NEEDED, complaints
from tests.fakes.azure.store import Resource

if TYPE_CHECKING:
    from tests.fakes.azure.providers.machinelearning import MachineLearning

WORKSPACES = "Microsoft.MachineLearningServices/workspaces"
BATCH_ENDPOINTS = f"{WORKSPACES}/batchEndpoints"
BATCH_DEPLOYMENTS = f"{BATCH_ENDPOINTS}/deployments"
HEADER = "azureml-model-deployment"

_ENDPOINT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": ANY,
    "properties": {
        NEEDED: True,
        "authMode": NEEDED,
        "description": MAY,
        "properties": ANY,
        "defaults": {"deploymentName": MAY},
    },
}
_DEPLOYMENT = {
    "location": NEEDED,
    "tags": ANY,
    "kind": MAY,
    "identity": ANY,
    "properties": {
        NEEDED: True,
        "compute": NEEDED,
        "description": MAY,
        "model": {NEEDED: True, "assetId": NEEDED, "referenceType": NEEDED},
        "environmentId": NEEDED,
        "codeConfiguration": {NEEDED: True, "codeId": NEEDED, "scoringScript": NEEDED},
        "environmentVariables": ANY,
        "errorThreshold": MAY,
        "loggingLevel": MAY,
        "maxConcurrencyPerInstance": MAY,
        "miniBatchSize": MAY,
        "outputAction": MAY,
        "outputFileName": MAY,
        "properties": ANY,
        "resources": {"instanceCount": MAY, "instanceType": MAY, "properties": ANY},
        "retrySettings": {"maxRetries": MAY, "timeout": MAY},
    },
}
_ASKED = {
    "properties": {
        NEEDED: True,
        "inputData": ANY,
        "outputData": ANY,
        "name": MAY,
        "compute": {"target": MAY, "instanceCount": MAY, "isLocal": MAY, "properties": ANY},
        "miniBatchSize": MAY,
        "errorThreshold": MAY,
        "outputFileName": MAY,
        "properties": ANY,
    }
}


@dataclass
class BatchEndpoints:
    """Of the provider `ml`. `failing` is what the next job's log says it fails for; `trouble` maps
    a file's name to what becomes of its rows: "lost" (none comes) or "cut" (the first does not);
    `real` runs the package's own code/batch.py in a process of its own. `runs` are all jobs that
    did work, with the files that they read."""

    ml: MachineLearning
    failing: str = ""
    real: bool = False
    trouble: dict[str, str] = field(default_factory=dict)
    runs: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        azure = self.ml.azure
        azure.arm.add(
            computes(azure.store, self._is_busy),
            ResourceType(JOBS, {}),
            ResourceType(
                BATCH_ENDPOINTS,
                _ENDPOINT,
                slow=True,
                fill=self._fill_endpoint,
                check=self._check_endpoint,
                on_delete=self._check_unused,
            ),
            ResourceType(
                BATCH_DEPLOYMENTS,
                _DEPLOYMENT,
                slow=True,
                fill=_fill_deployment,
                check=self._check_deployment,
                on_delete=self._check_unused,
            ),
        )
        space = (
            r"(?P<space>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/workspaces/[^/]+)"
        )
        azure.add(
            Route("POST", r"/jobs", self._invoke, r"[^.]+\.inference\.ml\.localhost(:\d+)?"),
            Route("GET", r"/discovery", lambda call, match: Answer(200, {"api": azure.url})),
            Route(
                "GET",
                rf"/mferp/managementfrontend{space}/batchEndpoints/(?P<endpoint>[^/]+)/jobs",
                self._jobs,
            ),
            Route("GET", rf"{space}/jobs/(?P<job>[^/]+)", self._job),
            Route("POST", rf"{space}/jobs/(?P<job>[^/]+)/cancel", self._cancel),
        )

    @property
    def jobs(self) -> dict[str, Resource]:
        """All jobs, by name."""
        return {job["name"]: job for job in self.ml.azure.store.all(JOBS)}

    def end(self) -> None:
        """Let all jobs come to their end."""
        for job in self.jobs.values():
            while job["properties"]["status"] not in ENDED:
                self._go_on(job)

    def _fill_endpoint(self, resource: Resource) -> None:
        facts, port = resource["properties"], self.ml.azure.port
        host = f"https://{resource['name']}.inference.ml.localhost:{port}"
        facts |= {"scoringUri": f"{host}/jobs", "swaggerUri": f"{host}/jobs/swagger.json"}
        facts["properties"] = facts.get("properties") or {}
        facts["defaults"] = facts.get("defaults") or {}
        resource["systemData"] = {"createdAt": now(), "createdBy": "someone"}

    def _check_endpoint(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        store = self.ml.azure.store
        space, _, name = call.path.partition("/batchEndpoints/")
        if store.get(space) is None:
            return error(404, "ResourceNotFound", "The workspace was not found.")
        if body["properties"]["authMode"].lower() != "aadtoken":
            return error(400, "BadRequest", "A batch endpoint takes tokens of Entra ID alone.")
        region = (store.get(space) or {}).get("location")
        taken = (
            one["name"].lower() == name.lower() and one.get("location") == region
            for one in (*store.all(BATCH_ENDPOINTS), *store.all(f"{WORKSPACES}/onlineEndpoints"))
        )
        if old is None and any(taken):
            said = "There is already an endpoint with this name, Endpoint name needs to be unique"
            return error(409, "Conflict", f"{said} within a region. Try some other name.")
        return _busy(old)

    def _check_deployment(
        self, call: Call, old: Resource | None, body: dict[str, Any]
    ) -> Answer | None:
        store, facts = self.ml.azure.store, body["properties"]
        if store.get(call.path.rpartition("/deployments/")[0]) is None:
            return error(404, "ResourceNotFound", "The batch endpoint was not found.")
        code = facts["codeConfiguration"]
        ids = (facts["model"]["assetId"], facts["environmentId"], code["codeId"], facts["compute"])
        for id_ in ids:
            if store.get(id_) is None:
                return error(400, "BadRequest", f"not there: {id_}")
        if code["scoringScript"] not in self.ml.assets.files(
            store.get(code["codeId"]) or {}, "codeUri"
        ):
            return error(400, "BadRequest", "the script is not in the code")
        if facts.get("outputAction") == "SummaryOnly" and facts.get("outputFileName"):
            return error(400, "BadRequest", "SummaryOnly has no output file.")
        return _busy(old)

    def _check_unused(self, resource: Resource) -> Answer | None:
        """A deployment, or an endpoint, on which a job is at work."""
        id_ = resource["id"].lower()
        for job in self._running():
            if f"{job['deployment'].lower()}/".startswith(f"{id_}/"):
                return error(409, "Conflict", f"The job {job['name']} is running on it.")
        return None

    def _is_busy(self, compute: str) -> bool:
        return any(job["compute"].lower() == compute.lower() for job in self._running())

    def _running(self) -> list[Resource]:
        found = self.jobs.values()
        return [job for job in found if job["properties"]["status"] not in ENDED]

    def _invoke(self, call: Call, match: re.Match[str]) -> Answer:
        if not signed_in(call):
            return error(401, "Unauthorized", "A token of Entra ID is needed.")
        name, store = call.host.partition(".")[0], self.ml.azure.store
        endpoint = next((e for e in store.all(BATCH_ENDPOINTS) if e["name"].lower() == name), None)
        if endpoint is None:
            return error(404, "NotFound", "no such batch endpoint")
        chosen = call.headers.get(HEADER, "")
        deployment = store.get(f"{endpoint['id']}/deployments/{chosen}")
        if not deployment or deployment["properties"]["provisioningState"] != "Succeeded":
            return error(400, "BadRequest", f"no deployment {chosen} is ready")
        if wrong := list(complaints(call.json, _ASKED)):
            return error(400, "BadRequest", "; ".join(wrong))
        return self._begun(call.json["properties"], deployment)

    def _begun(self, asked: dict[str, Any], deployment: Resource) -> Answer:
        store, space = self.ml.azure.store, deployment["id"].partition("/batchEndpoints/")[0]
        if store.get(f"{space}/jobs/{asked['name']}"):
            return error(409, "Conflict", f"There is a job {asked['name']} already.")
        given = (asked.get("inputData") or {}, asked.get("outputData") or {})
        if [len(one) for one in given] != [1, 1]:
            return error(400, "BadRequest", "A model's deployment has one input and one output.")
        compute = asked.get("compute") or {}
        id_ = compute.get("target") or deployment["properties"]["compute"]
        cluster = store.get(id_)
        if cluster is None or compute.get("isLocal"):
            return error(400, "BadRequest", f"no such compute: {id_}")
        most = (cluster["properties"]["properties"].get("scaleSettings") or {}).get("maxNodeCount")
        if most is not None and compute.get("instanceCount", 1) > most:
            return error(400, "BadRequest", f"The compute has {most} nodes at most.")
        studio = {"Studio": {"endpoint": f"https://ml.azure.com/runs/{asked['name']}"}}
        facts = {"jobType": "Pipeline", "status": STATES[0], "services": studio}
        job = {"properties": facts, "deployment": deployment["id"], "compute": id_, "asked": asked}
        made = store.put(f"{space}/jobs/{asked['name']}", job)
        return Answer(201, _told(made))

    def _jobs(self, call: Call, match: re.Match[str]) -> Answer:
        if not signed_in(call):
            return error(401, "Unauthorized", "A token of Entra ID is needed.")
        start = f"{match['space']}/batchEndpoints/{match['endpoint']}/".lower()
        mine = [job for job in self.jobs.values() if job["deployment"].lower().startswith(start)]
        return Answer(200, {"value": list(map(_told, mine))})

    def _job(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.ml.azure.arm.refuse(call):
            return refusal
        job = self.ml.azure.store.get(call.path)
        if job is None:
            return missing(call.path)
        answer = Answer(200, _told(job))
        self._go_on(job)
        return answer

    def _cancel(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.ml.azure.arm.refuse(call):
            return refusal
        job = self.ml.azure.store.get(call.path.removesuffix("/cancel"))
        if job is None:
            return missing(call.path)
        if job["properties"]["status"] in ENDED:
            return error(400, "UserError", "The job has ended.")
        job["properties"]["status"] = "CancelRequested"
        return Answer(200, None, SOON)

    def _go_on(self, job: Resource) -> None:
        """Time passes for a job."""
        facts = job["properties"]
        if facts["status"] == "CancelRequested":
            facts["status"] = "Canceled"
        elif facts["status"] in STATES[:-1]:
            facts["status"] = STATES[STATES.index(facts["status"]) + 1]
            if facts["status"] == "Finalizing":
                failure, self.failing = self.failing, ""
                facts["status"] = "Failed" if failure or not Run(self, job).work() else "Finalizing"


def _told(job: Resource) -> dict[str, Any]:
    """A job as the service tells it."""
    return {key: job[key] for key in ("id", "name", "type", "properties")}


def _fill_deployment(resource: Resource) -> None:
    facts = resource["properties"]
    facts["properties"] = facts.get("properties") or {}
    resource["systemData"] = {"createdAt": now(), "createdBy": "someone"}


def _busy(old: Resource | None) -> Answer | None:
    if old and old["properties"].get("provisioningState") in ("Creating", "Updating", "Deleting"):
        return error(409, "Conflict", "Another operation on it is still running.")
    return None
