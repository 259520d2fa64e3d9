"""How a template's stack is deployed and deleted. Each public method is one Step.operation, and may
be done twice: CloudFormation goes on with what was begun, and what is as it should be has no
changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.stacks import DEAD, Deployment, Stacks


@dataclass(frozen=True)
class StackOperations:
    """On the stack of one endpoint's template."""

    clients: AwsClients
    names: Names
    wait: Callable[..., None]

    def settle_stack(self, step: Step) -> None:
        """Wait for the end of what is under way, however that ends."""
        self._stacks.settle()

    def deploy_stack(self, step: Step) -> None:
        """Begin the deployment, unless nothing would change."""
        there = self._stacks.settle()
        if there and there.state in DEAD:
            self._stacks.delete()
        if self._stacks.prepare(Deployment(**step.parameters)):
            self._stacks.execute()
        else:
            self._stacks.discard()

    def follow_stack_resource(self, step: Step) -> None:
        """Wait until the deployment has done what it does to one resource."""
        logical = step.parameters["resource"]

        def under_way() -> str | None:
            there = self._stacks.read()
            if there is None or not there.at_work:
                self._check()
                return None
            state = self._stacks.resources().get(logical, "not begun")
            ended = state.endswith("_COMPLETE") and "ROLLBACK" not in there.state
            return None if ended else f"{there.state}: {state}"

        self._wait(str(step), under_way)

    def finish_stack(self, step: Step) -> None:
        """Wait for the end. Raises Refused with all that failed."""
        self._stacks.settle()
        self._check()

    def put_stack(self, step: Step) -> None:
        """Deploy what was there before, and wait for the end; it may be back already."""
        if not self._stacks.has(Deployment(**step.parameters)):
            self.deploy_stack(step)
            self.finish_stack(step)

    def delete_stack(self, step: Step) -> None:
        """Delete the stack, with what it made, when nothing is under way there."""
        self._stacks.settle()
        self._stacks.delete()

    def _check(self) -> None:
        there = self._stacks.read()
        if there is None or there.state not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise self._stacks.failure(there)

    @cached_property
    def _stacks(self) -> Stacks:
        return Stacks(self.clients, self.names, self._wait)

    def _wait(self, what: str, state: Callable[[], str | None], **limit: Any) -> None:
        self.wait(f"AWS {self.names.region}, {what}", state, **limit)
