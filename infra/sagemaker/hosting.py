"""How the endpoints are changed: models, configurations, endpoints, their waits and the smoke test.

Each operation may be done twice: that something is there already, or is gone, is success when it is
as wanted, for a broken connection may have hidden that an earlier attempt succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, NotHealthy, Refused, WrongAnswer, with_log
from onnxferry.infra.plan import Operation, Step
from onnxferry.infra.sagemaker import state as live
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.failures import failure, tail
from onnxferry.infra.sagemaker.names import HISTORY_TAG
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, Endpoint
from onnxferry.infra.smoke import smoke
from onnxferry.system.console import Progress

_ROLE_SECONDS = 180.0  # how long IAM may take to make a new role known
_STALE = 3  # looks at an endpoint that says nothing yet of an update that was accepted


@dataclass(frozen=True)
class Hosting:
    scope: Scope

    def operations(self) -> Mapping[str, Operation]:
        return {
            "create_model": self.create_model,
            "create_config": self.create_config,
            "create_endpoint": self.create_endpoint,
            "await_endpoint": self.await_endpoint,
            "settle": self.settle,
            "promote": self.promote,
            "smoke": self.smoke,
            "mark": self.mark,
            "delete_endpoint": self.delete_endpoint,
            "delete_config": self.delete_config,
            "delete_model": self.delete_model,
        }

    def create_model(self, step: Step, progress: Progress) -> None:
        """Where the role is new, SageMaker may not be able to assume it yet: that is waited for."""
        refused: list[Refused] = []

        def state() -> str | None:
            try:
                with _already_there():
                    self._call("create_model", step)
            except Refused as e:
                if self.scope.config.role or "role" not in str(e):
                    raise
                refused.append(e)
                if len(refused) * self.scope.clock.interval > _ROLE_SECONDS:
                    raise
                return "IAM has not made the new role known yet"
            return None

        self.scope.wait(str(step), state, progress)

    def create_config(self, step: Step, progress: Progress) -> None:
        with _already_there():
            self._call("create_endpoint_config", step)

    def create_endpoint(self, step: Step, progress: Progress) -> None:
        config = step.parameters["EndpointConfigName"]
        try:
            self._call("create_endpoint", step)
        except NameTaken:
            found = self._endpoint(step.name)
            if found is None or found.coming != config:
                raise
        self._await(step.name, config, progress)

    def await_endpoint(self, step: Step, progress: Progress) -> None:
        self._await(step.name, step.parameters["EndpointConfigName"], progress)

    def settle(self, step: Step, progress: Progress) -> None:
        """Wait until nothing is under way at the endpoint, however that ends."""
        self._settled(step.name, progress)

    def promote(self, step: Step, progress: Progress) -> None:
        """Point the endpoint to a configuration and wait until that serves; nothing when it does
        already. An endpoint that an update has broken is made anew."""
        config = step.parameters["EndpointConfigName"]
        found = self._settled(step.name, progress)
        if found is None or found.state in BROKEN:
            return self._anew(step, progress)
        if found.config != config or found.state != "InService":
            self._update(step, config)
        return self._await(step.name, config, progress)

    def _anew(self, step: Step, progress: Progress) -> None:
        """Delete the endpoint, which nothing else helps, and create it with the record of what
        served."""
        found = live.own(self.scope, step.name)
        if found:
            self._delete(step.name, progress)
        record = {HISTORY_TAG: " ".join(found.history)} if found and found.history else {}
        keep = {key: step.parameters[key] for key in ("EndpointName", "EndpointConfigName")}
        request = {**keep, "Tags": self.scope.tags(**record)}
        self.create_endpoint(Step(step.action, step.resource, step.name, "", request), progress)

    def smoke(self, step: Step, progress: Progress) -> None:
        """The golden request that is kept beside the package must get the golden answer."""
        golden = storage.golden(self.scope, step.parameters["package"])
        where = f"AWS {self.scope.aws.region}, endpoint {step.name}"
        try:
            smoke(golden, lambda request: self.scope.aws.invoke(step.name, request, 60), where)
        except (NotHealthy, WrongAnswer) as e:
            raise type(e)(with_log(str(e), tail(self.scope, step.name))) from e

    def mark(self, step: Step, progress: Progress) -> None:
        found = self._endpoint(step.name)
        if found is None:
            raise NotFound(
                f"AWS {self.scope.aws.region}, endpoint {step.name}: somebody has deleted it;"
                " deploy again"
            )
        request = {"ResourceArn": found.arn, **step.parameters}
        self.scope.aws.call("sagemaker", "add_tags", f"endpoint {step.name}", request)

    def delete_endpoint(self, step: Step, progress: Progress) -> None:
        if self._settled(step.name, progress):
            self._delete(step.name, progress)

    def delete_config(self, step: Step, progress: Progress) -> None:
        with _gone_already():
            self._call("delete_endpoint_config", step)

    def delete_model(self, step: Step, progress: Progress) -> None:
        with _gone_already():
            self._call("delete_model", step)

    def _call(self, operation: str, step: Step) -> Any:
        return self.scope.aws.call(
            "sagemaker", operation, f"{step.resource} {step.name}", step.parameters
        )

    def _endpoint(self, name: str) -> Endpoint | None:
        return live.endpoint(self.scope, name)

    def _update(self, step: Step, config: str) -> None:
        try:
            self._call("update_endpoint", step)
        except Refused:
            found = self._endpoint(step.name)
            if found is None or found.coming != config or found.state not in {*BUSY, "InService"}:
                raise

    def _settled(self, name: str, progress: Progress) -> Endpoint | None:
        """The endpoint once nothing is under way; None if it is gone."""
        seen: list[Endpoint | None] = []

        def state() -> str | None:
            seen.append(self._endpoint(name))
            return seen[-1].state if seen[-1] and seen[-1].state in BUSY else None

        self.scope.wait(f"endpoint {name}", state, progress)
        return seen[-1]

    def _await(self, name: str, config: str, progress: Progress) -> None:
        self.scope.wait(f"endpoint {name}", self._arrival(name, config), progress)

    def _arrival(self, name: str, config: str) -> Callable[[], str | None]:
        stale = iter(range(_STALE))

        def state() -> str | None:
            found = self._endpoint(name)
            if found is None:
                raise NotFound(
                    f"AWS {self.scope.aws.region}, endpoint {name}: somebody has deleted it; deploy"
                    " again"
                )
            if found.state in BUSY:
                return found.state
            if found.state == "InService" and found.config == config:
                return None
            if found.state == "InService" and not found.reason and next(stale, None) is not None:
                return "InService with the earlier configuration"
            rolled = (
                "SageMaker has put the earlier configuration back"
                if found.state == "InService"
                else found.state
            )
            raise failure(self.scope, found, f"it does not serve {config} ({rolled})")

        return state

    def _delete(self, name: str, progress: Progress) -> None:
        try:
            self.scope.aws.call(
                "sagemaker", "delete_endpoint", f"endpoint {name}", {"EndpointName": name}
            )
        except NotFound:
            return
        except Refused:
            found = self._endpoint(name)
            if found and found.state != "Deleting":
                raise

        def state() -> str | None:
            found = self._endpoint(name)
            return found.state if found else None

        self.scope.wait(f"endpoint {name}", state, progress)


@contextmanager
def _already_there() -> Iterator[None]:
    """The name says the content, so what has it is what was wanted."""
    try:
        yield
    except NameTaken:
        return


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except NotFound:
        return
