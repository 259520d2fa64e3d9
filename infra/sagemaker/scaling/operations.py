"""How autoscaling is registered and deregistered. Each public method is one Step.operation, and may
be done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound, Refused, Unavailable
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names, tags
from onnxferry.infra.sagemaker.scaling import state
from onnxferry.infra.sagemaker.scaling.requests import identified, is_step
from onnxferry.infra.sagemaker.scaling.state import SERVICE
from onnxferry.infra.sagemaker.state import Endpoint, endpoint

_SETTLE_SECONDS = 120.0  # until a new scalable target is known everywhere
_QUICKER = 5  # times that an autoscaler may be before us


class ScalingOperations:
    """On the scalable targets of an endpoint."""

    clients: AwsClients
    names: Names
    wait: Callable[..., None]
    _stable: Callable[[str], Endpoint | None]

    def put_scaling(self, step: Step) -> None:
        """Register a variant, or change its limits and tags; put policies, scheduled actions and
        the alarm, and take away what is `gone`."""
        asked = step.parameters
        at = identified(asked["resource"], asked["dimension"])
        arn = self._register(at, asked)
        policies = {
            policy["PolicyName"]: self._settled(at, "put_scaling_policy", policy)["PolicyARN"]
            for policy in asked["policies"]
        }
        for action in asked["schedule"]:
            self._settled(at, "put_scheduled_action", action)
        if asked["alarm"]:
            steps = (p["PolicyName"] for p in asked["policies"] if is_step(p))
            self._put_alarm(asked["alarm"], policies[next(steps)])
        for name in asked["gone"]["alarms"]:
            self._delete_alarm(name)
        for policy in asked["gone"]["policies"]:
            self._scale(at, "delete_scaling_policy", PolicyName=policy)
        for action in asked["gone"]["actions"]:
            self._scale(at, "delete_scheduled_action", ScheduledActionName=action)
        if asked["gone"]["tags"]:
            keys = {"ResourceARN": arn, "TagKeys": asked["gone"]["tags"]}
            self.clients.call(SERVICE, "untag_resource", _where(at), **keys)

    def keep_scaling(self, step: Step) -> None:
        """Register a variant that is registered no more, since its endpoint had to be made anew."""
        if not state.targets(self.clients, step.parameters["resource"]):
            self.put_scaling(step)

    def remove_scaling(self, step: Step) -> None:
        """Deregister a variant, if it is ours, with its policies and scheduled actions; first the
        alarms, which would be left."""
        asked = step.parameters
        at = identified(asked["resource"], asked["dimension"])
        for name in asked["alarms"]:
            self._delete_alarm(name)
        if self._own_target(at):
            self._scale(at, "deregister_scalable_target")

    def _undisturbed(self, name: str, ask: Callable[[], None]) -> None:
        """Ask for a change of an endpoint, and again where an autoscaler was quicker: SageMaker
        refuses it while another number of instances comes up."""
        for _ in range(_QUICKER):
            try:
                return ask()
            except Refused:
                found = endpoint(self.clients, name)
                if found is None or found.state != "Updating" or found.pending:
                    raise
            self._stable(name)
        return ask()

    def _register(self, at: dict[str, str], asked: Mapping[str, Any]) -> str:
        """The target's ARN. Tags are taken at the first registration alone."""
        limits = {"MinCapacity": asked["least"], "MaxCapacity": asked["most"]}
        there = self._own_target(at)
        if there is None:
            made = self.clients.call(
                SERVICE, "register_scalable_target", _where(at), **at, **limits, Tags=asked["tags"]
            )
            return str(made["ScalableTargetARN"])
        arn = str(there["ScalableTargetARN"])
        if any(there[key] != value for key, value in limits.items()):
            self.clients.call(SERVICE, "register_scalable_target", _where(at), **at, **limits)
        if state.tags_of(self.clients, arn) != asked["tags"]:
            tagged = {"ResourceARN": arn, "Tags": asked["tags"]}
            self.clients.call(SERVICE, "tag_resource", _where(at), **tagged)
        return arn

    def _own_target(self, at: dict[str, str]) -> Any:
        """The target as it is described; None where there is none. Raises NameTaken."""
        there = [
            target
            for target in state.targets(self.clients, at["ResourceId"])
            if target["ScalableDimension"] == at["ScalableDimension"]
        ]
        if not there:
            return None
        found = state.tags_of(self.clients, there[0]["ScalableTargetARN"])
        if found.get(ENDPOINT_TAG) != self.names.made:
            raise NameTaken(
                f"AWS {self.names.region}, {_where(at)}: others have registered it since this was"
                " planned. Nothing was done to it; run the same command again"
            )
        return there[0]

    def _settled(self, at: dict[str, str], operation: str, request: Mapping[str, Any]) -> Any:
        """Ask until a target that has just been registered is known, or another change of it is
        done."""
        answer: list[Any] = []

        def unknown() -> str | None:
            try:
                answer.append(self.clients.call(SERVICE, operation, _where(at), **at, **request))
            except (NotFound, Unavailable) as e:
                if isinstance(e, Unavailable) and "ConcurrentUpdate" not in str(e):
                    raise
                return "not known to all of Application Auto Scaling yet"
            return None

        self.wait(f"AWS {self.names.region}, {_where(at)}", unknown, limit=_SETTLE_SECONDS)
        return answer[-1]

    def _scale(self, at: dict[str, str], operation: str, **request: Any) -> None:
        """What deletes; it may be gone already."""
        self.clients.call_if_there(SERVICE, operation, _where(at), **at, **request)

    def _put_alarm(self, alarm: Mapping[str, Any], policy: str) -> None:
        """CloudWatch replaces an alarm of the same name without asking, so it is looked at."""
        name = alarm["AlarmName"]
        there, ours = state.own_alarm(self.clients, self.names)
        if there and not ours:
            raise NameTaken(
                f"AWS {self.names.region}, alarm {name}: it exists, and onnxferry did not make it;"
                " delete it, or choose another endpoint name with --name"
            )
        own = {"AlarmActions": [policy], "Tags": tags({ENDPOINT_TAG: self.names.made})}
        self.clients.call("cloudwatch", "put_metric_alarm", f"alarm {name}", **alarm, **own)

    def _delete_alarm(self, name: str) -> None:
        if state.own_alarm(self.clients, self.names)[1]:
            where = f"alarm {name}"
            self.clients.call_if_there("cloudwatch", "delete_alarms", where, AlarmNames=[name])


def _where(at: Mapping[str, str]) -> str:
    return f"scalable target {at['ResourceId']}"
