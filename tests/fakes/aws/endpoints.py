"""SageMaker's endpoints, which moto has only as a stub: states that take time, fleets of instances
and serverless containers by variant under quotas, blue/green updates that roll back, refusals as
AWS words them, and a record of every change of what serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.aws import fleets, moves
from tests.fakes.aws.answers import Refusal, limit, validation
from tests.fakes.aws.blue_green import BlueGreen, Update
from tests.fakes.aws.fleets import Configuration, Fleet, Fleets
from tests.fakes.aws.quotas import SERVERLESS, Quotas
from tests.fakes.aws.scaling import ScalableTargets

BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
FIRST = "AllTraffic"


@dataclass
class Endpoint:
    """`config` serves when `serving`, on `fleets`; `coming` are those of `pending`, or what the
    fleets will be. `looks` is how many more times a client asks before what is under way goes on;
    `update` is the one that is under way, and `deployment` the DeploymentConfig of the last."""

    name: str
    arn: str
    config: str
    pending: str = ""
    state: str = "Creating"
    reason: str = ""
    serving: bool = False
    looks: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    fleets: Fleets = field(default_factory=lambda: {FIRST: Fleet()})
    coming: Fleets = field(default_factory=dict)
    deployment: Mapping[str, Any] = field(default_factory=dict)
    update: Update | None = None
    asynchronous: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Instances of the first variant."""
        return next(iter(self.fleets.values())).count

    @count.setter
    def count(self, number: int) -> None:
        """As an autoscaler does it."""
        self.scale(next(iter(self.fleets)), number)

    def scale(self, variant: str, number: int) -> None:
        """Another number of instances of a variant."""
        self.fleets[variant] = replace(self.fleets[variant], count=number)


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
    is built up; `scaling` is what Application Auto Scaling knows of them; `most` is how many
    instances ran at a time. `find` returns an endpoint configuration, None where it is not;
    `policies` are the documents of the role of a configuration's model."""

    def __init__(
        self,
        arn: str,
        find: Callable[[str], Configuration],
        say: Callable[[str, str], None],
        blue_green: BlueGreen,
    ) -> None:
        super().__init__()
        self.looks = 1
        self.most = 0
        self.quotas = Quotas()
        self.trouble: dict[str, Trouble] = {}
        self.changes: list[Change] = []
        self.answered: set[str] = set()
        self._arn, self._find, self._say = arn, find, say
        self.scaling = ScalableTargets(self, arn.partition("sagemaker:")[2])
        self.blue_green = blue_green
        self.policies: Callable[[str], Mapping[str, str]] = lambda config: {}

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "CreateEndpoint": self.create,
            "DescribeEndpoint": self.describe,
            "UpdateEndpoint": self.point,
            "UpdateEndpointWeightsAndCapacities": self.resize,
            "DeleteEndpoint": self.delete,
            "ListEndpoints": self.list,
            **self.quotas.operations(),
            **self.scaling.operations(),
        }

    def create(self, asked: Mapping[str, Any]) -> Any:
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        if name in self:
            raise validation(f'Cannot create already existing endpoint "{self[name].arn}".')
        configuration = self._known(config)
        wanted = fleets.configured(configuration)
        self._within_quota(wanted)
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        arn = f"{self._arn}:endpoint/{name.lower()}"
        made = Endpoint(name, arn, config, looks=self.looks, tags=tags, fleets=wanted)
        made.asynchronous = configuration.async_inference_config or {}
        self[name] = made
        return {"EndpointArn": made.arn}

    def describe(self, asked: Mapping[str, Any]) -> Any:
        found = self._found(asked["EndpointName"])
        if found.state == "InService":
            self.scaling.act(found.name)
        elif found.state in BUSY:
            found.looks -= 1
            if found.looks < 0:
                self._go_on(found)
                found = self._found(asked["EndpointName"])
        others: dict[str, Any] = {}
        if found.pending:
            others["PendingDeploymentSummary"] = _pending(found)
        if found.deployment:
            others["LastDeploymentConfig"] = found.deployment
        if found.reason:
            others["FailureReason"] = found.reason
        if shadows := fleets.described(found.fleets, shadow=True):
            others["ShadowProductionVariants"] = shadows
        if found.asynchronous:
            others["AsyncInferenceConfig"] = found.asynchronous
        return {
            **self._summary(found),
            "EndpointConfigName": found.config,
            "ProductionVariants": fleets.described(found.fleets, shadow=False),
            **others,
        }

    def _summary(self, found: Endpoint) -> dict[str, Any]:
        times = dict.fromkeys(("CreationTime", "LastModifiedTime"), time.time())
        what = {"EndpointName": found.name, "EndpointArn": found.arn}
        return {**what, "EndpointStatus": found.state, **times}

    def point(self, asked: Mapping[str, Any]) -> Any:
        found, config = self._changeable(asked["EndpointName"]), asked["EndpointConfigName"]
        if found.state == "Failed":
            raise validation(f'Cannot update endpoint "{found.arn}" in Failed state.')
        now = self._known(found.config)  # AWS looks at what serves, too: without it, no update
        wanted = self._known(config)
        coming = fleets.retained(found.fleets, fleets.configured(wanted), asked)
        moves.check(found.name, now, wanted, asked)
        moves.check_scaled(self.scaling.scaled(found.name), found.fleets, coming)
        deployment = asked.get("DeploymentConfig", {})
        update = self.blue_green.begun(deployment, coming, self.policies(config))
        self._within_quota(coming)
        found.state, found.pending, found.reason = "Updating", config, ""
        found.looks, found.coming, found.update = self.looks, coming, update
        found.deployment = asked.get("DeploymentConfig", {})
        self._count()
        return {"EndpointArn": found.arn}

    def resize(self, asked: Mapping[str, Any]) -> Any:
        """Other weights, numbers of instances, or concurrency, of variants that are there."""
        found = self._changeable(asked["EndpointName"])
        coming = dict(found.fleets)
        for one in asked["DesiredWeightsAndCapacities"]:
            name = one["VariantName"]
            if name not in coming:
                raise validation(f'Could not find variant "{name}" of endpoint "{found.arn}".')
            fleet = coming[name]
            if one.get("DesiredInstanceCount") == 0 and not found.asynchronous:
                raise validation("DesiredInstanceCount must be at least 1.")
            coming[name] = replace(
                fleet,
                count=one.get("DesiredInstanceCount", fleet.count),
                weight=one.get("DesiredWeight", fleet.weight),
                serverless={**fleet.serverless, **one.get("ServerlessUpdateConfig", {})},
            )
        found.state, found.looks, found.coming = "Updating", self.looks, coming
        return {"EndpointArn": found.arn}

    def delete(self, asked: Mapping[str, Any]) -> Any:
        found = self._changeable(asked["EndpointName"])
        found.state, found.looks = "Deleting", self.looks
        self.scaling.gone(found.name)
        self._serve(found, None)
        return {}

    def list(self, asked: Mapping[str, Any]) -> Any:
        named = asked.get("NameContains", "")
        return {"Endpoints": [self._summary(e) for e in self.values() if named in e.name]}

    def using(self, config: str) -> Endpoint | None:
        """An endpoint that has `config`, or is getting it."""
        return next((e for e in self.values() if config in (e.config, e.pending)), None)

    def running(self) -> Sequence[Fleet]:
        """What runs, or comes up."""
        return [fleet for e in self.values() for fleet in (*e.fleets.values(), *e.coming.values())]

    def finish(self) -> None:
        """Let all that is under way be done."""
        for found in list(self.values()):
            if found.state in BUSY:
                self._done(found)

    def _within_quota(self, wanted: Fleets) -> None:
        kinds = dict.fromkeys(fleet.kind for fleet in wanted.values() if fleet.kind)
        for kind in kinds:
            used, count = (
                fleets.instances(self.running(), kind),
                fleets.instances(wanted.values(), kind),
            )
            if used + count > (most := self.quotas.of(kind)):
                raise limit(f"{kind} for endpoint usage", most, used, count)
        used, more = fleets.concurrency(self.running()), fleets.concurrency(wanted.values())
        if more and used + more > (most := self.quotas.get(SERVERLESS, 0.0)):
            raise limit(SERVERLESS, most, used, more)
        self._count(fleets.instances(wanted.values()))

    def _count(self, more: int = 0) -> None:
        self.most = max(self.most, fleets.instances(self.running()) + more)

    def _go_on(self, found: Endpoint) -> None:
        """To the next stage of an update, or to the end."""
        updating = found.update if found.state == "Updating" else None
        trouble = found.name in self.trouble  # instances that do not come up get no request
        came = self.blue_green.step(updating) if updating and not trouble else "done"
        if came == "rolled back":
            self._fail(found, Trouble(self.blue_green.reason))
        elif came == "done":
            self._done(found)

    def answering(self, found: Endpoint) -> str:
        """The configuration that answers the next request."""
        new = found.update is not None and found.update.answers()
        return found.pending if new else found.config

    def _done(self, found: Endpoint) -> None:
        trouble = self.trouble.get(found.name)
        if found.state == "Deleting":
            del self[found.name]
        elif trouble:
            self._fail(found, trouble)
        else:
            self._serve(found, found.pending or found.config)
            found.fleets = found.coming or found.fleets
            found.state, found.config = "InService", found.pending or found.config
            found.pending, found.coming, found.update = "", {}, None
            self._say(found.name, f"{found.config} is up")

    def _fail(self, found: Endpoint, trouble: Trouble) -> None:
        self._say(found.name, trouble.log)
        rolled_back = found.state == "Updating" and trouble.state == "Failed"
        found.pending, found.reason = "", trouble.reason
        found.coming, found.update = {}, None
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

    def _known(self, config: str) -> Configuration:
        if (found := self._find(config)) is None:
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


def _pending(found: Endpoint) -> dict[str, Any]:
    """PendingDeploymentSummary."""
    summary: dict[str, Any] = {"EndpointConfigName": found.pending}
    if found.update is None:
        return summary
    status = {"VariantStatus": found.update.described()}
    variants = [{"VariantName": name, **status} for name in found.coming]
    return {**summary, "StartTime": found.update.began, "ProductionVariants": variants}
