"""How autoscaling is registered and deregistered. Each public method is one Step.operation, and may
be done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound, Refused, Unavailable
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names
from onnxferry.infra.sagemaker.scaling import state
from onnxferry.infra.sagemaker.scaling.requests import ScaledVariant, identified, is_step
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
        asked = dict(step.parameters)
        gone = asked.pop("gone")
        one = ScaledVariant(**asked)
        arn, step_policy = self._register(one), ""
        for operation, request in list(one.calls())[1:]:
            if operation == "put_metric_alarm":
                self._put_alarm({**request, "AlarmActions": [step_policy]})
                continue
            made = self._settled(operation, request)
            step_policy = made["PolicyARN"] if is_step(request) else step_policy
        self._take_away(one.id, arn, gone)

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

    def _take_away(self, at: dict[str, str], arn: str, gone: Mapping[str, list[str]]) -> None:
        for name in gone["alarms"]:
            self._delete_alarm(name)
        for name in gone["policies"]:
            self._scale(at, "delete_scaling_policy", PolicyName=name)
        for name in gone["actions"]:
            self._scale(at, "delete_scheduled_action", ScheduledActionName=name)
        if gone["tags"]:
            keys = {"ResourceARN": arn, "TagKeys": gone["tags"]}
            self.clients.call(SERVICE, "untag_resource", _where(at), **keys)

    def _register(self, one: ScaledVariant) -> str:
        """The target's ARN. Tags are taken at the first registration alone."""
        (operation, request), where = next(one.calls()), _where(one.id)
        there = self._own_target(one.id)
        if there is None:
            made = self.clients.call(SERVICE, operation, where, **request)
            return str(made["ScalableTargetARN"])
        arn = str(there["ScalableTargetARN"])
        asked = {key: value for key, value in request.items() if key != "Tags"}
        if any(there[key] != value for key, value in asked.items()):
            self.clients.call(SERVICE, operation, where, **asked)
        if not one.tags.items() <= state.tags_of(self.clients, arn).items():
            tagged = {"ResourceARN": arn, "Tags": one.tags}
            self.clients.call(SERVICE, "tag_resource", where, **tagged)
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

    def _settled(self, operation: str, request: Mapping[str, Any]) -> Any:
        """Ask until a target that has just been registered is known, or another change of it is
        done."""
        answer: list[Any] = []

        def unknown() -> str | None:
            try:
                answer.append(self.clients.call(SERVICE, operation, _where(request), **request))
            except (NotFound, Unavailable) as e:
                if isinstance(e, Unavailable) and "ConcurrentUpdate" not in str(e):
                    raise
                return "not known to all of Application Auto Scaling yet"
            return None

        self.wait(f"AWS {self.names.region}, {_where(request)}", unknown, limit=_SETTLE_SECONDS)
        return answer[-1]

    def _scale(self, at: dict[str, str], operation: str, **request: Any) -> None:
        """What deletes; it may be gone already."""
        self.clients.call_if_there(SERVICE, operation, _where(at), **at, **request)

    def _put_alarm(self, request: Mapping[str, Any]) -> None:
        """CloudWatch replaces an alarm of the same name without asking, so it is looked at."""
        name = request["AlarmName"]
        there, ours = state.own_alarm(self.clients, self.names)
        if there and not ours:
            raise NameTaken(
                f"AWS {self.names.region}, alarm {name}: it exists, and onnxferry did not make it;"
                " delete it, or choose another endpoint name with --name"
            )
        self.clients.call("cloudwatch", "put_metric_alarm", f"alarm {name}", **request)

    def _delete_alarm(self, name: str) -> None:
        if state.own_alarm(self.clients, self.names)[1]:
            where = f"alarm {name}"
            self.clients.call_if_there("cloudwatch", "delete_alarms", where, AlarmNames=[name])


def _where(at: Mapping[str, str]) -> str:
    return f"scalable target {at['ResourceId']}"
