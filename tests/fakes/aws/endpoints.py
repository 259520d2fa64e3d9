"""SageMaker's endpoints, which moto has only as a stub: states that take time, blue/green updates
that roll back, refusals as AWS words them, and a record of every change of what serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.aws.answers import Refusal, validation

BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


@dataclass
class Endpoint:
    """`config` serves when `serving`; `looks` is how many more times a client asks before what is
    under way is done."""

    name: str
    arn: str
    config: str
    pending: str = ""
    state: str = "Creating"
    reason: str = ""
    serving: bool = False
    looks: int = 0
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """How an endpoint fails to come up: its FailureReason, what its container prints, and the state
    it ends in."""

    reason: str
    log: str = ""
    state: str = "Failed"


@dataclass(frozen=True)
class Change:
    """From now on `config` answers at `endpoint` (None: nothing does); `proved`: it has answered a
    request before."""

    endpoint: str
    config: str | None
    proved: bool


class Endpoints(dict[str, Endpoint]):
    """All endpoints by name. `trouble` maps the name of an endpoint to what befalls it whenever it
    is built up."""

    def __init__(
        self, arn: str, has_config: Callable[[str], bool], say: Callable[[str, str], None]
    ) -> None:
        super().__init__()
        self.looks = 1
        self.trouble: dict[str, Trouble] = {}
        self.changes: list[Change] = []
        self.answered: set[str] = set()
        self._arn, self._has_config, self._say = arn, has_config, say

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "UpdateEndpoint": self.point,
            "DeleteEndpoint": self.delete,
            "ListEndpoints": self.list,
        }

    def create(self, asked: Mapping[str, Any]) -> Any:
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        if name in self:
            raise validation(f'Cannot create already existing endpoint "{self[name].arn}".')
        self._known(config)
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        self[name] = Endpoint(
            name, f"{self._arn}:endpoint/{name.lower()}", config, looks=self.looks, tags=tags
        )
        return {"EndpointArn": self[name].arn}

    def describe(self, asked: Mapping[str, Any]) -> Any:
        found = self._found(asked["EndpointName"])
        if found.state in BUSY:
            found.looks -= 1
            if found.looks < 0:
                self._done(found)
                found = self._found(asked["EndpointName"])
        pending = (
            {"PendingDeploymentSummary": {"EndpointConfigName": found.pending}}
            if found.pending
            else {}
        )
        reason = {"FailureReason": found.reason} if found.reason else {}
        return {
            "EndpointName": found.name,
            "EndpointArn": found.arn,
            "EndpointConfigName": found.config,
            "EndpointStatus": found.state,
            "CreationTime": time.time(),
            "LastModifiedTime": time.time(),
            **pending,
            **reason,
        }

    def point(self, asked: Mapping[str, Any]) -> Any:
        found = self._changeable(asked["EndpointName"])
        if found.state == "Failed":
            raise validation(f'Cannot update endpoint "{found.arn}" in Failed state.')
        self._known(asked["EndpointConfigName"])
        found.state, found.pending, found.reason = "Updating", asked["EndpointConfigName"], ""
        found.looks = self.looks
        return {"EndpointArn": found.arn}

    def delete(self, asked: Mapping[str, Any]) -> Any:
        found = self._changeable(asked["EndpointName"])
        found.state, found.looks = "Deleting", self.looks
        self._serve(found, None)
        return {}

    def list(self, asked: Mapping[str, Any]) -> Any:
        names = [name for name in self if asked.get("NameContains", "") in name]
        return {"Endpoints": [{**self.describe({"EndpointName": name})} for name in names]}

    def using(self, config: str) -> Endpoint | None:
        """An endpoint that has `config`, or is getting it."""
        return next((e for e in self.values() if config in (e.config, e.pending)), None)

    def finish(self) -> None:
        """Let all that is under way be done."""
        for found in list(self.values()):
            if found.state in BUSY:
                self._done(found)

    def _done(self, found: Endpoint) -> None:
        trouble = self.trouble.get(found.name)
        if found.state == "Deleting":
            del self[found.name]
        elif trouble:
            self._fail(found, trouble)
        else:
            self._serve(found, found.pending or found.config)
            found.state, found.config, found.pending = (
                "InService",
                found.pending or found.config,
                "",
            )
            self._say(found.name, f"{found.config} is up")

    def _fail(self, found: Endpoint, trouble: Trouble) -> None:
        self._say(found.name, trouble.log)
        rolled_back = found.state == "Updating" and trouble.state == "Failed"
        found.pending, found.reason = "", trouble.reason
        found.state = "InService" if rolled_back else trouble.state.removeprefix("really ")

    def _serve(self, found: Endpoint, config: str | None) -> None:
        found.serving = config is not None
        self.changes.append(Change(found.name, config, config in self.answered))

    def _found(self, name: str) -> Endpoint:
        if name not in self:
            raise validation(f'Could not find endpoint "{self._arn}:endpoint/{name.lower()}".')
        return self[name]

    def _changeable(self, name: str) -> Endpoint:
        found = self._found(name)
        if found.state in BUSY:
            raise validation(f'Cannot update in-progress endpoint "{found.arn}".')
        return found

    def _known(self, config: str) -> None:
        if not self._has_config(config):
            raise validation(
                "Could not find endpoint configuration"
                f' "{self._arn}:endpoint-config/{config.lower()}".'
            )

    def tagged(self, operation: str, asked: Mapping[str, Any]) -> Any:
        """AddTags and ListTags of an endpoint; None where the ARN is another resource's."""
        if ":endpoint/" not in asked["ResourceArn"]:
            return None
        found = next((e for e in self.values() if e.arn == asked["ResourceArn"]), None)
        if found is None:
            raise Refusal(
                "ValidationException", f'Could not find endpoint "{asked["ResourceArn"]}".'
            )
        if operation == "AddTags":
            found.tags.update({tag["Key"]: tag["Value"] for tag in asked["Tags"]})
        return {"Tags": [{"Key": key, "Value": value} for key, value in found.tags.items()]}
