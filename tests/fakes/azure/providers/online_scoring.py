"""How requests to online endpoints are let in, routed by share, answered and counted."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import httpx

from onnxferry import scoring
from onnxferry.scoring.wire import Request
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call
from tests.fakes.azure.login import signed_in
from tests.fakes.azure.providers.assets import Assets
from tests.fakes.azure.providers.data_collector import DataCollector
from tests.fakes.azure.providers.mlflow_container import MlflowContainer
from tests.fakes.azure.providers.monitor_metrics import MonitorMetrics, Scored
from tests.fakes.azure.providers.online_shapes import ENDPOINTS
from tests.fakes.azure.store import Resource

KEY = "a-key-that-must-never-be-printed"
HEADER = "azureml-model-deployment"
FRONT = (408, 429, 502, 503, 504)  # statuses that no container answered


class OnlineScoring:
    """Of the provider machinelearning.MachineLearning."""

    azure: AzureFake
    assets: Assets
    collector: DataCollector
    monitor: MonitorMetrics
    runtimes: dict[str, str]
    answers: dict[str, bytes]
    proved: set[str]
    keys: dict[str, dict[str, str]]
    routed: dict[str, dict[str, int]]
    statuses: dict[str, int]
    latency: dict[str, float]
    due: dict[str, dict[str, int]]
    _scorers: dict[str, scoring.Scorer]
    _containers: dict[str, MlflowContainer]

    def keys_of(self, endpoint: str) -> dict[str, str]:
        """The keys of an endpoint, by kind."""
        return self.keys.setdefault(endpoint, {"Primary": KEY, "Secondary": f"{KEY}-2"})

    def _score(self, call: Call, match: re.Match[str]) -> Answer:
        name = call.host.partition(".")[0]
        endpoint = next(
            (e for e in self.azure.store.all(ENDPOINTS) if e["name"].lower() == name), None
        )
        if endpoint is None:
            return Answer(404, {"error": {"message": "no such endpoint"}})
        if not self._let_in(call, endpoint):
            return Answer(401, {"error": {"message": "key_auth_access_denied"}})
        name = call.headers.get(HEADER) or self._next(endpoint["name"])
        deployment = self.azure.store.get(f"{endpoint['id']}/deployments/{name}")
        if deployment is None or deployment["properties"]["provisioningState"] != "Succeeded":
            return Answer(404, {"error": {"message": f"no deployment {name} is ready"}})
        answer = self._answered(call, deployment)
        self._told(endpoint, deployment, answer)
        self.collector.asked(call, deployment, answer)
        if copied := self.collector.copied(call, endpoint):
            other = self._answered(call, copied)
            self._told(endpoint, copied, other)
            self.collector.asked(call, copied, other, copy=True)
        return answer

    def _told(self, endpoint: Resource, deployment: Resource, answer: Answer) -> None:
        """Tell the monitor of an answer."""
        by_model = answer.headers.get("ms-azureml-model-error-statuscode", "")
        by_model = by_model or ("200" if answer.status == 200 else "")
        self._count(endpoint, deployment["name"], answer.status, by_model)

    def arrive(self, endpoint: str, count: int) -> None:
        """Requests of clients to an endpoint of that name, which nobody waits for: they are counted
        as their deployments would answer them."""
        (found,) = (one for one in self.azure.store.all(ENDPOINTS) if one["name"] == endpoint)
        for _ in range(count):
            name = self._next(endpoint)
            own = self.statuses.get(name, 200)
            by_model = "" if own in FRONT else str(own)
            self._count(found, name, own if own in (200, *FRONT) else 424, by_model)

    def _next(self, endpoint: str) -> str:
        """The deployment whose turn it is: each has its share of any hundred requests, evenly."""
        routed, due = self.routed.get(endpoint, {}), self.due.setdefault(endpoint, {})
        for name, share in routed.items():
            due[name] = due.get(name, 0) + share
        name = max(routed, key=lambda one: due[one], default="")
        if name:
            due[name] -= 100
        return name

    def _count(self, endpoint: Resource, name: str, status: int, by_model: str) -> None:
        """Tell the monitor of a request."""
        ms, where = self.latency.get(name, 20.0), endpoint["id"].lower()
        at = self.azure.clock.now()
        self.monitor.scored.append(Scored(at, where, name, status, by_model, ms))

    def _let_in(self, call: Call, endpoint: Resource) -> bool:
        shown = call.headers.get("authorization", "").removeprefix("Bearer ")
        if endpoint["properties"]["authMode"].lower() == "key":
            return shown in self.keys_of(endpoint["name"]).values()
        return signed_in(call) or shown == KEY

    def _answered(self, call: Call, deployment: Resource) -> Answer:
        own = self.statuses.get(deployment["name"], 0)
        if own in FRONT:
            return Answer(own, {"error": {"message": "the front end's own"}})
        status, body, kind = self._container(call, deployment["properties"]["model"])
        status = own or status
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
            self._containers[model] = MlflowContainer(self.assets.files(registered, "modelUri"))
        return self._containers[model]

    def _scorer(self, model: str) -> scoring.Scorer:
        """What the model's files in the datastore score."""
        if model not in self._scorers:
            with tempfile.TemporaryDirectory() as folder:
                for name, data in self.assets.files(
                    self.azure.store.get(model) or {}, "modelUri"
                ).items():
                    (Path(folder) / name).write_bytes(data)
                self._scorers[model] = scoring.load(Path(folder))
        return self._scorers[model]
