"""How a template's deployment is executed on Azure: begun once, and followed resource by resource.
Azure goes on with it when nobody follows; a run after one that was cut off waits for its end first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Step

if TYPE_CHECKING:  # another cloud's templates are deployed without Azure's SDK
    from onnxferry.infra.clients.azure import Wait
    from onnxferry.infra.clients.azure_deployments import Deployments

ENDED = ("Succeeded", "Failed", "Canceled")


@dataclass(frozen=True)
class FollowedDeployment:
    """The deployment `name`; `wait` waits for what it begins."""

    deployments: Deployments
    name: str
    wait: Wait

    def begin(self, template: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Begin it, once an earlier one has ended."""
        self.wait_for_others()
        if self.deployments.begin(self.name, template, values):
            return
        self.wait_for_others()  # its own, whose answer was lost, or another's
        if not self.deployments.begin(self.name, template, values):
            raise CloudError(
                f"template deployment {self.name}: others deploy under that name all the time; run"
                " again when they have ended"
            )

    def follow(self, step: Step) -> None:
        """Wait until it has made or changed the resource of a step of `deploying.steps`."""
        id_ = step.parameters["id"].lower()

        def state() -> str | None:
            if any(
                one.id.lower() == id_ and one.state == "Succeeded"
                for one in self.deployments.operations(self.name)
            ):
                return None
            return self._under_way()

        self.wait(str(step), state)

    def finish(self, step: Step) -> None:
        """Wait for its end."""
        self.wait(str(step), self._under_way)

    def wait_for_others(self) -> None:
        """Wait for the end of one that an earlier run has begun, whichever it is."""

        def at_work() -> str | None:
            state = self.deployments.state(self.name)
            return None if state in ("", *ENDED) else f"an earlier one is at work ({state})"

        self.wait(f"template deployment {self.name}", at_work)

    def _under_way(self) -> str | None:
        """None at the end; raises CloudError with all that failed."""
        state = self.deployments.state(self.name)
        if state == "Failed":
            raise self.deployments.failure(self.name)
        if state in ("", "Canceled"):
            word = "was cancelled" if state else "is gone"
            said = f"it {word}; run the same command again"
            raise CloudError(f"template deployment {self.name}: {said}")
        return None if state == "Succeeded" else f"deploying ({state})"
