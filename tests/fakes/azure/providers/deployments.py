"""Template deployments: PUT, what-if, validation, their operations, and an end to each.

A deployment makes its resources by the calls that a client would send, with its client's rights: so
all that the providers refuse is refused here. It gets on whenever it, or an operation, is asked.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tests.fakes.azure.fake import SUBSCRIPTION, AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.operations import SOON
from tests.fakes.azure.templates.expressions import Context, TemplateError, evaluated
from tests.fakes.azure.templates.template import Parsed, Planned, parsed, unresolved
from tests.fakes.azure.templates.what_if import changes
from tests.fakes.azure.templates.work import FakeDeployment, Work, ready, shown, told

API_VERSION = "2026-06-01"
_GROUP = r"(?P<group>/subscriptions/[^/]+/resourcegroups/(?P<name>[^/]+))"
_ONE = rf"{_GROUP}/providers/Microsoft\.Resources/deployments/(?P<deployment>[-\w._()]{{1,64}})"
_ENDED = ("Succeeded", "Failed", "Canceled")
_FAILED = "At least one resource deployment operation failed. Please list deployment operations"


class Deployments:
    """All deployments of all groups. `late` is how many polls a what-if takes. `unsupported` are
    types that what-if knows nothing of."""

    def __init__(self, fake: AzureFake) -> None:
        self.late = 1
        self.known: dict[str, FakeDeployment] = {}
        self._fake = fake
        self._results: dict[str, tuple[int, Answer]] = {}

    @property
    def routes(self) -> tuple[Route, ...]:
        guarded = self._guarded
        operations = rf"{_GROUP}/deployments/(?P<deployment>[-\w._()]{{1,64}})/operations"
        return (
            Route("PUT", _ONE, guarded(self._put)),
            Route("GET", _ONE, guarded(self._get)),
            Route("POST", _ONE + "/whatIf", guarded(self._what_if)),
            Route("POST", _ONE + "/validate", guarded(self._validate)),
            Route("POST", _ONE + "/cancel", guarded(self._cancel)),
            Route("GET", operations, guarded(self._operations)),
            Route("GET", r"/subscriptions/[^/]+/operationresults/(?P<id>\w+)", self._result),
        )

    def _guarded(
        self, answer: Callable[[Call, re.Match[str]], Answer]
    ) -> Callable[[Call, re.Match[str]], Answer]:
        def checked(call: Call, match: re.Match[str]) -> Answer:
            if refusal := self._fake.arm.refuse(call):
                return refusal
            if call.query["api-version"] != API_VERSION:
                return error(400, "InvalidApiVersionParameter", "The api-version is invalid.")
            if self._fake.store.get(match["group"]) is None:
                said = f"Resource group '{match['name']}' could not be found."
                return error(404, "ResourceGroupNotFound", said)
            self._advance()
            return answer(call, match)

        return checked

    def _put(self, call: Call, match: re.Match[str]) -> Answer:
        before = self.known.get(call.path.lower())
        if before and before.state not in _ENDED:
            said = f"Unable to edit or replace deployment '{match['deployment']}': it is active."
            return error(409, "DeploymentActive", said)
        found = self._checked(call, match)
        if isinstance(found, Answer):
            return found
        made = FakeDeployment(call.path, call, found, [Work(one) for one in found.resources])
        self.known[call.path.lower()] = made
        polled = f"{self._fake.url}{call.path}/operationStatuses/{uuid.uuid4().hex}"
        return Answer(201, shown(made), {"Azure-AsyncOperation": polled, **SOON})

    def _get(self, call: Call, match: re.Match[str]) -> Answer:
        found = self.known.get(call.path.lower())
        return Answer(200, shown(found)) if found else _absent(match)

    def _operations(self, call: Call, match: re.Match[str]) -> Answer:
        provider = f"{match['group']}/providers/Microsoft.Resources/deployments/"
        found = self.known.get(f"{provider}{match['deployment']}".lower())
        return Answer(200, {"value": list(told(found))}) if found else _absent(match)

    def _validate(self, call: Call, match: re.Match[str]) -> Answer:
        found = self._checked(call, match)
        if isinstance(found, Answer):
            return found
        return Answer(200, {"properties": {"provisioningState": "Succeeded"}})

    def _cancel(self, call: Call, match: re.Match[str]) -> Answer:
        found = self.known.get(call.path.rpartition("/")[0].lower())
        if found is None or found.state in _ENDED:
            said = f"The deployment '{match['deployment']}' cannot be cancelled."
            return error(409, "DeploymentCannotBeCancelled", said)
        found.state = "Canceled"
        return Answer(204)

    def _what_if(self, call: Call, match: re.Match[str]) -> Answer:
        found = self._checked(call, match)
        if isinstance(found, Answer):
            return found
        known = list(changes(found, self._fake.arm))
        body = {"status": "Succeeded", "properties": {"changes": known, "diagnostics": []}}
        id_ = uuid.uuid4().hex
        self._results[id_] = (self.late, Answer(200, body))
        return Answer(202, None, _at(self._fake.url, id_))

    def _result(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self._fake.arm.refuse(call):
            return refusal
        if match["id"] not in self._results:
            return error(404, "NotFound", f"no operation {match['id']}")
        polls, answer = self._results[match["id"]]
        self._results[match["id"]] = (polls - 1, answer)
        return answer if polls <= 0 else Answer(202, None, _at(self._fake.url, match["id"]))

    def _checked(self, call: Call, match: re.Match[str]) -> Parsed | Answer:
        """What the body's template comes to, or why the resource manager takes it not."""
        body = call.json
        if set(body) - {"properties", "location", "tags"} or "properties" not in body:
            return error(400, "InvalidRequestContent", f"deployment: {sorted(body)}")
        facts = (SUBSCRIPTION, match["name"], self._fake.storage_suffix, f"{self._fake.url}/")
        place = (self._fake.store.get(match["group"]) or {}).get("location", "")
        context = Context(*facts, {}, {}, reference=unresolved, location=place)
        try:
            found = parsed(body["properties"], context)
        except TemplateError as e:
            said = f"Deployment template validation failed: '{e}'"
            return error(400, "InvalidTemplate", said)
        for one in found.resources:
            body = evaluated(one.body, context, keep=True)
            known = body if isinstance(body.get("properties"), dict) else {}
            if refusal := self._fake.authorizer.check(self._call(call, one, known)):
                return _unauthorized(one, refusal)
        return found

    def _advance(self) -> None:
        for deployment in self.known.values():
            if deployment.state not in _ENDED:
                self._step(deployment)

    def _step(self, deployment: FakeDeployment) -> None:
        """Begin what can be begun, and see what has ended. What fails stops only what depends on
        it."""
        deployment.state = "Running"
        for work in deployment.work:
            if work.state == "Running":
                self._poll(deployment, work)
        for work in ready(deployment):
            self._begin(deployment, work)
        states = {work.state for work in deployment.work}
        failed = [work for work in deployment.work if work.state == "Failed"]
        if states == {"Succeeded"}:
            context = replace(deployment.found.context, reference=self._reference)
            outputs = evaluated(dict(deployment.found.outputs), context)
            deployment.outputs, deployment.state = outputs, "Succeeded"
        elif failed and "Running" not in states and not ready(deployment):
            below = [{"code": w.error["code"], "message": w.error["message"]} for w in failed]
            deployment.error = {"code": "DeploymentFailed", "message": _FAILED, "details": below}
            deployment.state = "Failed"

    def _begin(self, deployment: FakeDeployment, work: Work) -> None:
        context = replace(deployment.found.context, reference=self._reference)
        try:
            body = evaluated(work.planned.body, context)
        except TemplateError as e:
            work.state, work.error = "Failed", {"code": "InvalidTemplate", "message": str(e)}
            return
        answer = self._send(self._call(deployment.call, work.planned, body))
        if answer.status >= 400:
            work.state = "Failed"
            work.error = (answer.body or {}).get("error", {"code": "Error", "message": ""})
            return
        urls = {key.lower(): value for key, value in answer.headers.items()}
        work.polled = urls.get("azure-asyncoperation") or urls.get("location") or ""
        work.state = "Running" if work.polled else "Succeeded"

    def _poll(self, deployment: FakeDeployment, work: Work) -> None:
        path, _, query = work.polled.removeprefix(self._fake.url).partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&"))
        call = replace(deployment.call, method="GET", path=path, query=pairs, body=b"")
        answer = self._send(call)
        resource = self._fake.store.get(work.planned.id) or {"properties": {}}
        state = resource["properties"].get("provisioningState", "Succeeded")
        told = (answer.body or {}).get("error") if isinstance(answer.body, dict) else None
        if told or state == "Failed":
            unknown = {"code": "Failed", "message": "it failed"}
            work.state, work.error = "Failed", told or unknown
        elif state == "Succeeded" and answer.status == 200:
            work.state = "Succeeded"

    def _send(self, call: Call) -> Answer:
        """By the routes of all services, as if its client had sent it."""
        fake = self._fake
        for route in (*fake.own_routes, *fake.operations.routes, *fake.arm.routes):
            if match := route.match(call):
                return route.handler(call, match)
        return error(404, "NotFound", f"{call}: the fake has no such route")

    @staticmethod
    def _call(by: Call, one: Planned, body: Mapping[str, Any]) -> Call:
        query = {"api-version": one.version}
        return Call(by.number, "PUT", by.host, one.id, query, by.headers, json.dumps(body).encode())

    def _reference(self, id_: str, version: str, full: bool) -> Any:
        found = self._fake.store.get(id_)
        if found is None:
            raise TemplateError(f"The resource '{id_}' is not found.")
        return found if full else found["properties"]


def _absent(match: re.Match[str]) -> Answer:
    said = f"Deployment '{match['deployment']}' could not be found."
    return error(404, "DeploymentNotFound", said)


def _at(url: str, id_: str) -> dict[str, str]:
    place = f"{url}/subscriptions/{SUBSCRIPTION}/operationresults/{id_}"
    return {"Location": f"{place}?api-version={API_VERSION}", **SOON}


def _unauthorized(one: Planned, refusal: Answer) -> Answer:
    """As the resource manager words it before it begins."""
    said = refusal.body["error"]["message"].partition("does not have authorization")[2]
    return error(
        403,
        "InvalidTemplateDeployment",
        "Deployment failed with multiple errors: 'Authorization failed for template resource"
        f" '{one.id.rpartition('/')[2]}' of type '{one.type}'. The client does not have"
        f" permission{said}'",
    )
