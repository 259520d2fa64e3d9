"""How a plan's steps are executed: models, configurations, endpoints, their waits. What they stand
on is in prerequisites.py. Each public method is one Step.operation.

Each may be done twice: that something is there already, or is gone, is success when it is
as desired, for a broken connection may have hidden that an earlier attempt succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, Refused, TimedOut
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import state
from onnxferry.infra.sagemaker.failures import failure
from onnxferry.infra.sagemaker.names import HISTORY_TAG, tags
from onnxferry.infra.sagemaker.prerequisites import PrerequisiteOperations
from onnxferry.infra.sagemaker.smoke import SmokeTest
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, Endpoint

_ROLE_SECONDS = 180.0  # how long IAM may take to make a new role known
_STALE = 3  # looks at an endpoint that says nothing yet of an update that was accepted


class Operations(PrerequisiteOperations):
    """The operations on one endpoint."""

    def create_model(self, step: Step) -> None:
        """Where we have just made the role, SageMaker may not be able to assume it yet: that is
        waited for."""
        ours = step.parameters["ExecutionRoleArn"].endswith(f":role/{self.names.role}")
        refused: list[Refused] = []

        def unknown() -> str | None:
            try:
                # the name says the content, so what has it is what is desired
                with suppress(NameTaken):
                    self._call("create_model", step)
            except Refused as e:
                if not ours or "role" not in str(e):
                    raise
                refused.append(e)
                return "IAM has not made the new role known yet"
            return None

        try:
            self._wait(str(step), unknown, limit=_ROLE_SECONDS)
        except TimedOut as e:
            raise refused[-1] from e

    def create_config(self, step: Step) -> None:
        """Create an endpoint configuration."""
        with suppress(NameTaken):
            self._call("create_endpoint_config", step)

    def create_endpoint(self, step: Step) -> None:
        """Create an endpoint and wait until it serves."""
        config = step.parameters["EndpointConfigName"]
        try:
            self._call("create_endpoint", step)
        except NameTaken:
            found = self._endpoint(step.name)
            if found is None or found.coming != config:
                raise
        self._await(step.name, config)

    def await_endpoint(self, step: Step) -> None:
        """Wait until a configuration serves that is on its way."""
        self._await(step.name, step.parameters["EndpointConfigName"])

    def wait_until_stable(self, step: Step) -> None:
        """Wait until nothing is under way at the endpoint, however that ends."""
        self._stable(step.name)

    def promote(self, step: Step) -> None:
        """Point the endpoint to a configuration and wait until that serves; nothing when it does
        already. An endpoint that an update has broken is recreated."""
        config = step.parameters["update"]["EndpointConfigName"]
        found = self._stable(step.name)
        if found is None or found.state in BROKEN:
            return self._recreate(step)
        if found.config != config or found.state != "InService":
            self._update(step, config)
        return self._await(step.name, config)

    def _recreate(self, step: Step) -> None:
        """Delete the endpoint, which nothing else helps, and create it with the history of what
        served."""
        found = state.own(self.clients, self.names, step.name)
        if found:
            self._delete(step.name)
        history = tags({HISTORY_TAG: " ".join(found.history)}) if found and found.history else []
        create = step.parameters["create"]
        request = {**create, "Tags": [*create["Tags"], *history]}
        self.create_endpoint(Step(step.action, step.resource, step.name, "", request))

    def smoke(self, step: Step) -> None:
        """The golden request that is kept beside the package must get the golden answer."""
        SmokeTest(self.clients).run(step.name, step.parameters["package"])

    def record_history(self, step: Step) -> None:
        """Tag the endpoint with the configurations that have proved themselves."""
        found = self._endpoint(step.name)
        if found is None:
            raise self._gone(step.name)
        request = {"ResourceArn": found.arn, **step.parameters}
        self.clients.call("sagemaker", "add_tags", f"endpoint {step.name}", request)

    def delete_endpoint(self, step: Step) -> None:
        """Delete an endpoint, when nothing is under way there."""
        if self._stable(step.name):
            self._delete(step.name)

    def delete_config(self, step: Step) -> None:
        """Delete an endpoint configuration."""
        with suppress(NotFound):
            self._call("delete_endpoint_config", step)

    def delete_model(self, step: Step) -> None:
        """Delete a model; its package stays."""
        with suppress(NotFound):
            self._call("delete_model", step)

    def _call(self, operation: str, step: Step) -> Any:
        where = f"{step.resource} {step.name}"
        return self.clients.call("sagemaker", operation, where, step.parameters)

    def _endpoint(self, name: str) -> Endpoint | None:
        return state.endpoint(self.clients, name)

    def _gone(self, name: str) -> NotFound:
        return NotFound(
            f"AWS {self.names.region}, endpoint {name}: somebody has deleted it; deploy again"
        )

    def _update(self, step: Step, config: str) -> None:
        where, request = f"endpoint {step.name}", step.parameters["update"]
        try:
            self.clients.call("sagemaker", "update_endpoint", where, request)
        except Refused:
            found = self._endpoint(step.name)
            if found is None or found.coming != config or found.state not in {*BUSY, "InService"}:
                raise

    def _stable(self, name: str) -> Endpoint | None:
        """The endpoint once nothing is under way; None if it is gone."""
        seen: list[Endpoint | None] = []

        def busy() -> str | None:
            seen.append(self._endpoint(name))
            return seen[-1].state if seen[-1] and seen[-1].state in BUSY else None

        self._wait(f"endpoint {name}", busy)
        return seen[-1]

    def _await(self, name: str, config: str) -> None:
        self._wait(f"endpoint {name}", self._arrival(name, config))

    def _arrival(self, name: str, config: str) -> Callable[[], str | None]:
        stale = iter(range(_STALE))

        def missing() -> str | None:
            found = self._endpoint(name)
            if found is None:
                raise self._gone(name)
            if found.state in BUSY:
                return found.state
            serves = found.state == "InService"
            if serves and found.config == config:
                return None
            if serves and not found.reason and next(stale, None) is not None:
                return "InService with the earlier configuration"
            ended = "SageMaker has put the earlier configuration back" if serves else found.state
            raise failure(self.clients, found, f"it does not serve {config} ({ended})")

        return missing

    def _delete(self, name: str) -> None:
        where, request = f"endpoint {name}", {"EndpointName": name}
        try:
            self.clients.call("sagemaker", "delete_endpoint", where, request)
        except NotFound:
            return
        except Refused:
            found = self._endpoint(name)
            if found and found.state != "Deleting":
                raise

        def there() -> str | None:
            found = self._endpoint(name)
            return found.state if found else None

        self._wait(where, there)
