"""SageMaker's endpoints, which moto has only as a stub: states that take time, fleets of instances
under a quota, blue/green updates that roll back, refusals as AWS words them, and a record of every
change of what serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.aws.answers import Refusal, limit, validation
from tests.fakes.aws.quotas import Quotas

BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
Variant = Mapping[str, Any]


@dataclass
class Endpoint:
    """`config` serves when `serving`, on `count` instances of `kind`; `coming` are those of
    `pending`. `looks` is how many more times a client asks before what is under way is done."""

    name: str
    arn: str
    config: str
    pending: str = ""
    state: str = "Creating"
    reason: str = ""
    serving: bool = False
    looks: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    kind: str = "ml.m5.large"
    count: int = 1
    coming: tuple[str, int] | None = None


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
    is built up; `scaled` are those that Application Auto Scaling knows; `most` is how many
    instances ran at a time."""

    def __init__(
        self, arn: str, variant: Callable[[str], Variant | None], say: Callable[[str, str], None]
    ) -> None:
        super().__init__()
        self.looks = 1
        self.most = 0
        self.quotas = Quotas()
        self.trouble: dict[str, Trouble] = {}
        self.scaled: set[str] = set()
        self.changes: list[Change] = []
        self.answered: set[str] = set()
        self._arn, self._variant, self._say = arn, variant, say

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "UpdateEndpoint": self.point,
            "DeleteEndpoint": self.delete,
            "ListEndpoints": self.list,
            "DescribeScalableTargets": self.targets,
            **self.quotas.operations(),
        }

    def create(self, asked: Mapping[str, Any]) -> Any:
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        if name in self:
            raise validation(f'Cannot create already existing endpoint "{self[name].arn}".')
        variant = self._known(config)
        kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
        self._within_quota(kind, count)
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        arn = f"{self._arn}:endpoint/{name.lower()}"
        made = Endpoint(name, arn, config, looks=self.looks, tags=tags, kind=kind, count=count)
        self[name] = made
        return {"EndpointArn": made.arn}

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
        variant = {
            "VariantName": "AllTraffic",
            "CurrentInstanceCount": found.count,
            "DesiredInstanceCount": found.count,
        }
        return {
            **self._summary(found),
            "EndpointConfigName": found.config,
            "ProductionVariants": [variant],
            **pending,
            **reason,
        }

    def _summary(self, found: Endpoint) -> dict[str, Any]:
        times = dict.fromkeys(("CreationTime", "LastModifiedTime"), time.time())
        what = {"EndpointName": found.name, "EndpointArn": found.arn}
        return {**what, "EndpointStatus": found.state, **times}

    def point(self, asked: Mapping[str, Any]) -> Any:
        found, config = self._changeable(asked["EndpointName"]), asked["EndpointConfigName"]
        if found.state == "Failed":
            raise validation(f'Cannot update endpoint "{found.arn}" in Failed state.')
        self._known(found.config)  # AWS looks at what serves, too: without it nothing is updated
        variant = self._known(config)
        kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
        excluded = asked.get("ExcludeRetainedVariantProperties", [])
        if excluded and not asked.get("RetainAllVariantProperties"):
            raise validation("ExcludeRetainedVariantProperties without RetainAllVariantProperties.")
        own = {"VariantPropertyType": "DesiredInstanceCount"} in excluded
        if asked.get("RetainAllVariantProperties") and not own:
            count = found.count
        if found.name in self.scaled and kind != found.kind:
            raise validation(
                'The variant(s) "[AllTraffic]" must be deregistered as scalable targets with AWS'
                " Auto Scaling before they can be removed or have their instance type updated."
            )
        self._within_quota(kind, count)
        found.state, found.pending, found.reason = "Updating", config, ""
        found.looks, found.coming = self.looks, (kind, count)
        self._count()
        return {"EndpointArn": found.arn}

    def delete(self, asked: Mapping[str, Any]) -> Any:
        found = self._changeable(asked["EndpointName"])
        found.state, found.looks = "Deleting", self.looks
        self.scaled.discard(found.name)
        self._serve(found, None)
        return {}

    def list(self, asked: Mapping[str, Any]) -> Any:
        named = asked.get("NameContains", "")
        return {"Endpoints": [self._summary(e) for e in self.values() if named in e.name]}

    def targets(self, asked: Mapping[str, Any]) -> Any:
        """Scalable targets, of Application Auto Scaling."""
        known = {f"endpoint/{name}/variant/AllTraffic": name for name in self.scaled}
        found = [_target(i) for i in known if i in asked.get("ResourceIds", known)]
        return {"ScalableTargets": found}

    def using(self, config: str) -> Endpoint | None:
        """An endpoint that has `config`, or is getting it."""
        return next((e for e in self.values() if config in (e.config, e.pending)), None)

    def instances(self, kind: str = "") -> int:
        """How many run, or come up."""
        fleets = [fleet for e in self.values() for fleet in ((e.kind, e.count), e.coming)]
        return sum(fleet[1] for fleet in fleets if fleet and kind in ("", fleet[0]))

    def finish(self) -> None:
        """Let all that is under way be done."""
        for found in list(self.values()):
            if found.state in BUSY:
                self._done(found)

    def _within_quota(self, kind: str, count: int) -> None:
        used, most = self.instances(kind), self.quotas.of(kind)
        if used + count > most:
            raise limit(f"{kind} for endpoint usage", most, used, count)
        self.most = max(self.most, self.instances() + count)

    def _count(self) -> None:
        self.most = max(self.most, self.instances())

    def _done(self, found: Endpoint) -> None:
        trouble = self.trouble.get(found.name)
        if found.state == "Deleting":
            del self[found.name]
        elif trouble:
            self._fail(found, trouble)
        else:
            self._serve(found, found.pending or found.config)
            found.kind, found.count = found.coming or (found.kind, found.count)
            found.state, found.config = "InService", found.pending or found.config
            found.pending, found.coming = "", None
            self._say(found.name, f"{found.config} is up")

    def _fail(self, found: Endpoint, trouble: Trouble) -> None:
        self._say(found.name, trouble.log)
        rolled_back = found.state == "Updating" and trouble.state == "Failed"
        found.pending, found.reason, found.coming = "", trouble.reason, None
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

    def _known(self, config: str) -> Variant:
        if (found := self._variant(config)) is None:
            raise validation(
                "Could not find endpoint configuration"
                f' "{self._arn}:endpoint-config/{config.lower()}".'
            )
        return found

    def tags_of(self, arn: str) -> dict[str, str]:
        """Those of an endpoint, to be changed."""
        found = next((e for e in self.values() if e.arn == arn), None)
        if found is None:
            raise Refusal("ValidationException", f'Could not find endpoint "{arn}".')
        return found.tags


def _target(resource: str) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "MinCapacity": 1,
        "MaxCapacity": 9,
        "RoleARN": "arn:aws:iam::123456789012:role/aws-service-role/sagemaker",
        "CreationTime": 0.0,
    }
