"""How models, configurations and endpoints are changed. Each public method is one Step.operation.

Each may be done twice, for a broken connection may have hidden that an earlier attempt succeeded.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, Refused, TimedOut
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import references, state
from onnxferry.infra.sagemaker.alarm_operations import AlarmOperations
from onnxferry.infra.sagemaker.async_requests import AsyncRequests
from onnxferry.infra.sagemaker.batch.operations import BatchOperations
from onnxferry.infra.sagemaker.blue_green import waited, watched
from onnxferry.infra.sagemaker.failures import failure
from onnxferry.infra.sagemaker.fired import fired
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, HISTORY_TAG, tags
from onnxferry.infra.sagemaker.prerequisites import IAM_SECONDS
from onnxferry.infra.sagemaker.scaling.operations import ScalingOperations
from onnxferry.infra.sagemaker.scaling.refusals import refused_scaling
from onnxferry.infra.sagemaker.smoke import Send, SmokeTest
from onnxferry.infra.sagemaker.stack_operations import StackOperations
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, Endpoint
from onnxferry.infra.sagemaker.variants import FIRST
from onnxferry.system.exits import program

_DESCRIBE = {"Model": "describe_model", "EndpointConfig": "describe_endpoint_config"}
_STALE = 3  # looks at an endpoint that does not show an accepted update yet


class Operations(AlarmOperations, BatchOperations, ScalingOperations, StackOperations):
    """The operations on one endpoint."""

    def create_model(self, step: Step) -> None:
        """Wait until SageMaker can assume the role, where we have just made that."""
        ours = step.parameters["ExecutionRoleArn"].endswith(f":role/{self.names.role}")
        refused: list[Refused] = []

        def unknown() -> str | None:
            try:
                self._create("create_model", step)
            except Refused as e:
                if not ours or "role" not in str(e):
                    raise
                refused.append(e)
                return "IAM has not made the new role known yet"
            return None

        try:
            self._wait(str(step), unknown, limit=IAM_SECONDS)
        except TimedOut as e:
            raise refused[-1] from e

    def create_config(self, step: Step) -> None:
        """Create an endpoint configuration."""
        self._create("create_endpoint_config", step)

    def create_endpoint(self, step: Step) -> None:
        """Create an endpoint and wait until it serves."""
        config = step.parameters["EndpointConfigName"]
        try:
            self._call("create_endpoint", step)
        except NameTaken:
            found = state.own(self.clients, self.names, step.name)
            if found is None or found.coming != config:
                raise self._changed(step.name, found, "no endpoint") from None
        self._await(step.name, config)

    def await_endpoint(self, step: Step) -> None:
        """Wait until a configuration serves that is on its way."""
        self._await(step.name, step.parameters["EndpointConfigName"], limit=self._longest)

    def wait_until_stable(self, step: Step) -> None:
        """Wait until nothing is under way at the endpoint, however that ends."""
        self._stable(step.name)

    def promote(self, step: Step) -> None:
        """Point the endpoint to a configuration, unless that serves, and wait. An endpoint that an
        update has broken is recreated. Refused where neither that configuration serves nor one that
        was seen before."""
        request = step.parameters["update"]
        config = request["EndpointConfigName"]
        found = self._seen(step, config)
        if found is None:
            raise self._gone(step.name)
        again = step.parameters.get("recreate") and found.config != config
        if found.state in BROKEN or again:
            return self._recreate(step)
        if found.config != config or found.state != "InService":
            self._refuse_firing(step.name, watched(request.get("DeploymentConfig", {})))
            self._update(step, config)
        return self._await(step.name, config, limit=self._longest)

    def _recreate(self, step: Step) -> None:
        request = step.parameters["create"]
        if found := state.own(self.clients, self.names, step.name):
            self._delete(step.name)
            history = {HISTORY_TAG: " ".join(found.history)} if found.history else {}
            request = {**request, "Tags": [*request["Tags"], *tags(history)]}
        self.create_endpoint(Step(step.action, step.resource, step.name, "", request))

    def smoke(self, step: Step) -> None:
        """See SmokeTest."""
        SmokeTest(self.clients).run(step.name, step.parameters["package"], self._sent(step))

    def _sent(self, step: Step) -> Send | None:
        """How an asynchronous endpoint is asked; None for others."""
        if not (places := step.parameters.get("async", {})):
            return None
        label = f"{step.name} {step.parameters['config']}"
        about = (places, self.names.mark(), self._wait)
        asked = AsyncRequests(self.clients, step.name, *about, label)
        return lambda request: asked.send(request, self.names.settings.wait_minutes * 60)

    def record_history(self, step: Step) -> None:
        """Tag the endpoint with the configurations that have proved themselves."""
        found = self._seen(step)
        if found is None:
            raise self._gone(step.name)
        tagged = {"ResourceArn": found.arn, "Tags": step.parameters["Tags"]}
        self._ask("add_tags", step.name, **tagged)

    def change_tags(self, step: Step) -> None:
        """Set tags, and take away others."""
        asked, what = dict(step.parameters), f"{step.resource} {step.name}"
        arn = {"ResourceArn": asked["ResourceArn"]}
        if asked["Tags"]:
            self.clients.call("sagemaker", "add_tags", what, **arn, Tags=asked["Tags"])
        if asked["TagKeys"]:
            self.clients.call("sagemaker", "delete_tags", what, **arn, TagKeys=asked["TagKeys"])

    def delete_endpoint(self, step: Step) -> None:
        """Delete an endpoint, when nothing is under way there, and it is as it was seen."""
        if self._seen(step):
            self._delete(step.name)

    def delete_config(self, step: Step) -> None:
        """Delete an endpoint configuration, if it is ours and no endpoint serves it."""
        if self._is_ours("EndpointConfig", step):
            self._refuse_used(step, dict(references.of_configs(self.clients, [step.name])))
            with suppress(NotFound):
                self._call("delete_endpoint_config", step)

    def delete_model(self, step: Step) -> None:
        """Delete a model, if it is ours and no endpoint configuration names it; its package
        stays."""
        if self._is_ours("Model", step):
            self._refuse_used(step, dict(references.of_models(self.clients, [step.name])))
            with suppress(NotFound):
                self._call("delete_model", step)

    def _create(self, operation: str, step: Step) -> None:
        """The name says the content, so what has it and our mark is what is desired."""
        try:
            self._call(operation, step)
        except NameTaken:
            kind = "Model" if operation == "create_model" else "EndpointConfig"
            if not self._is_ours(kind, step):
                raise NameTaken(
                    f"AWS {self.names.region}, {step.resource} {step.name}: it exists, and"
                    " onnxferry did not make it; choose another name with --name, or delete it"
                ) from None

    def _is_ours(self, kind: str, step: Step) -> bool:
        """Whether a Model or EndpointConfig of the step's name is there, with our mark."""
        where, operation = f"{step.resource} {step.name}", _DESCRIBE[kind]
        named = {f"{kind}Name": step.name}
        found = self.clients.call_if_there("sagemaker", operation, where, **named)
        if found is None:
            return False
        tagged = state.tags_of(self.clients, found[f"{kind}Arn"], where)
        return tagged.get(ENDPOINT_TAG) == self.names.made

    def _refuse_used(self, step: Step, used: dict[str, str]) -> None:
        if by := used.get(step.name):
            raise Refused(
                f"AWS {self.names.region}, {step.resource} {step.name}: {by} uses it now, so it"
                " stays; run the same command again"
            )

    def _seen(self, step: Step, config: str = "") -> Endpoint | None:
        """The endpoint once nothing is under way, None if it is gone. Refused where neither
        `config` serves there nor what was seen when the step was planned: somebody else has changed
        it."""
        if self._stable(step.name) is None:
            return None
        found = state.own(self.clients, self.names, step.name)
        seen = [one for one in (config, *step.parameters["seen"]) if one]
        if found and found.state != "Deleting" and found.config not in seen:
            raise self._changed(step.name, found, " or ".join(step.parameters["seen"]))
        return found

    def _changed(self, name: str, found: Endpoint | None, expected: str) -> Refused:
        now = found.coming if found else "no endpoint"
        return Refused(
            f"AWS {self.names.region}, endpoint {name}: somebody else has changed it: {now} is"
            f" there now, and {expected} was when this was planned. Nothing was done to it. What"
            f" serves: {program('status')}; then run the same command again"
        )

    def _call(self, operation: str, step: Step) -> None:
        where = f"{step.resource} {step.name}"
        self.clients.call("sagemaker", operation, where, **step.parameters)

    def _ask(self, operation: str, name: str, /, **request: Any) -> None:
        self.clients.call("sagemaker", operation, f"endpoint {name}", **request)

    def _gone(self, name: str) -> NotFound:
        return NotFound(
            f"AWS {self.names.region}, endpoint {name}: somebody has deleted it; deploy again"
        )

    def _update(self, step: Step, config: str) -> None:
        update = partial(self._ask, "update_endpoint", step.name, **step.parameters["update"])
        try:
            self._undisturbed(step.name, update)
        except Refused as e:
            if "cloudwatch:DescribeAlarms" in str(e):
                e.with_context("Give the execution role that permission: SageMaker looks with it.")
            if "scalable target" in str(e):
                e.with_context(refused_scaling(step.name, FIRST))
            found = state.endpoint(self.clients, step.name)
            if found is None or found.coming != config or found.state not in {*BUSY, "InService"}:
                raise

    def _stable(self, name: str) -> Endpoint | None:
        """The endpoint once nothing is under way; None if it is gone."""
        found: Endpoint | None = None

        def busy() -> str | None:
            nonlocal found
            found = state.endpoint(self.clients, name)
            return _under_way(found) if found and found.state in BUSY else None

        self._wait(f"endpoint {name}", busy, limit=self._longest)
        return found

    def _await(self, name: str, config: str, **limit: float) -> None:
        """Wait until `config` serves."""
        stale, since = iter(range(_STALE)), self.names.now

        def missing() -> str | None:
            nonlocal since
            found = state.endpoint(self.clients, name)
            if found is None:
                raise self._gone(name)
            since = found.since or since
            if found.state in BUSY:
                return _under_way(found)
            serves = found.state == "InService"
            if serves and found.config == config:
                return None
            if serves and not found.reason and next(stale, None) is not None:
                return "InService with the earlier configuration"
            ended = "SageMaker has put the earlier configuration back" if serves else found.state
            why = fired(self.clients, watched(found.deployment), since)
            raise failure(self.clients, found, f"it does not serve {config} ({ended})", why)

        self._wait(f"endpoint {name}", missing, **limit)

    @property
    def _longest(self) -> float:
        """Seconds that an update may take, with its waits."""
        return self.names.settings.wait_minutes * 60 + waited(self.names.settings.rollout)

    def _delete(self, name: str) -> None:
        try:
            self._undisturbed(name, partial(self._ask, "delete_endpoint", name, EndpointName=name))
        except NotFound:
            return
        except Refused:
            found = state.endpoint(self.clients, name)
            if found and found.state != "Deleting":
                raise

        def there() -> str | None:
            found = state.endpoint(self.clients, name)
            return found.state if found else None

        self._wait(f"endpoint {name}", there)


def _under_way(found: Endpoint) -> str:
    return f"{found.state}: {found.stage}" if found.stage else found.state
