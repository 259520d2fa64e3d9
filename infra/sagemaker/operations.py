"""How models, configurations and endpoints are changed. Each public method is one Step.operation.

Each may be done twice, for a broken connection may have hidden that an earlier attempt succeeded.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, Refused, TimedOut
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import state
from onnxferry.infra.sagemaker.failures import failure
from onnxferry.infra.sagemaker.names import HISTORY_TAG, tags
from onnxferry.infra.sagemaker.prerequisites import IAM_SECONDS, PrerequisiteOperations
from onnxferry.infra.sagemaker.smoke import SmokeTest
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, Endpoint

_STALE = 3  # looks at an endpoint that does not show an accepted update yet


class Operations(PrerequisiteOperations):
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
            found = state.endpoint(self.clients, step.name)
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
        """Point the endpoint to a configuration, unless that serves, and wait. An endpoint that an
        update has broken is recreated."""
        config = step.parameters["update"]["EndpointConfigName"]
        found = self._stable(step.name)
        if found is None or found.state in BROKEN:
            return self._recreate(step)
        if found.config != config or found.state != "InService":
            self._update(step, config)
        return self._await(step.name, config)

    def _recreate(self, step: Step) -> None:
        request = step.parameters["create"]
        if found := state.own(self.clients, self.names, step.name):
            self._delete(step.name)
            history = {HISTORY_TAG: " ".join(found.history)} if found.history else {}
            request = {**request, "Tags": [*request["Tags"], *tags(history)]}
        self.create_endpoint(Step(step.action, step.resource, step.name, "", request))

    def smoke(self, step: Step) -> None:
        """See SmokeTest."""
        SmokeTest(self.clients).run(step.name, step.parameters["package"])

    def record_history(self, step: Step) -> None:
        """Tag the endpoint with the configurations that have proved themselves."""
        found = state.endpoint(self.clients, step.name)
        if found is None:
            raise self._gone(step.name)
        self._ask("add_tags", step.name, ResourceArn=found.arn, **step.parameters)

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

    def _create(self, operation: str, step: Step) -> None:
        """The name says the content, so what has it is what is desired."""
        with suppress(NameTaken):
            self._call(operation, step)

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
        try:
            self._ask("update_endpoint", step.name, **step.parameters["update"])
        except Refused:
            found = state.endpoint(self.clients, step.name)
            if found is None or found.coming != config or found.state not in {*BUSY, "InService"}:
                raise

    def _stable(self, name: str) -> Endpoint | None:
        """The endpoint once nothing is under way; None if it is gone."""
        found: Endpoint | None = None

        def busy() -> str | None:
            nonlocal found
            found = state.endpoint(self.clients, name)
            return found.state if found and found.state in BUSY else None

        self._wait(f"endpoint {name}", busy)
        return found

    def _await(self, name: str, config: str) -> None:
        """Wait until `config` serves."""
        stale = iter(range(_STALE))

        def missing() -> str | None:
            found = state.endpoint(self.clients, name)
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

        self._wait(f"endpoint {name}", missing)

    def _delete(self, name: str) -> None:
        try:
            self._ask("delete_endpoint", name, EndpointName=name)
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
