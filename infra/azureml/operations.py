"""How a plan's steps are executed: each method is one Step.operation, does what the step's
parameters say, and does no harm when it is done twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.smoke import SmokeTest
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azureml import Until
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Operation, Step
from onnxferry.infra.waiting import Clock, wait
from onnxferry.system.console import Progress


@dataclass(frozen=True)
class Operations:
    """`limit` is that of each wait, in seconds; `bundle` is what is deployed, if anything is."""

    clients: Clients
    names: Names
    limit: float
    clock: Clock
    bundle: Bundle | None = None

    def table(self) -> Mapping[str, Operation]:
        return {
            "upload": self.upload,
            "register_model": self.register_model,
            "register_code": self.register_code,
            "register_environment": self.register_environment,
            "create_endpoint": self.create_endpoint,
            "settle_endpoint": self.settle_endpoint,
            "delete_endpoint": self.delete_endpoint,
            "create_deployment": self.create_deployment,
            "settle_deployment": self.settle_deployment,
            "delete_deployment": self.delete_deployment,
            "smoke": self.smoke,
            "move": self.move,
            "delete_asset": self.delete_asset,
            "delete_files": self.delete_files,
        }

    def upload(self, step: Step, progress: Progress) -> None:
        """Upload the package's folder of one kind; what an earlier run got there whole stays."""
        kind, package = step.parameters["kind"], self._bundle.package
        folder = step.parameters["folder"]
        blobs = self.clients.workspace.blobs()
        there = blobs.hashes(folder)
        members = [m for m in package.members if m.path.startswith(f"{kind}/")]
        total, done = sum(m.size for m in members), 0
        for member in members:
            name = f"{folder}/{member.path.partition('/')[2]}"
            if there.get(name) != member.sha256:
                blobs.upload(
                    name,
                    package.path / member.path,
                    member.sha256,
                    _progress(progress, done, total),
                )
            done += member.size
            _progress(progress, 0, total)(done)

    def register_model(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        self.clients.workspace.register_model(
            self.names.endpoint, facts["version"], facts["path"], facts["tags"]
        )

    def register_code(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        own = {"codeUri": facts["uri"], "isAnonymous": False, "isArchived": False}
        self.clients.resources.put(self.names.id("code", facts["version"]), own)

    def register_environment(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        self.clients.workspace.register_environment(
            self.names.endpoint, facts["version"], facts["image"], facts["conda"], facts["tags"]
        )

    def create_endpoint(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        self.clients.workspace.create_endpoint(
            step.name, facts["auth_mode"], facts["tags"], self._until(step, progress)
        )

    def settle_endpoint(self, step: Step, progress: Progress) -> None:
        self._until(step, progress)(self.clients.workspace.endpoint_state(step.name))

    def delete_endpoint(self, step: Step, progress: Progress) -> None:
        self.clients.workspace.delete_endpoint(step.name, self._until(step, progress))

    def create_deployment(self, step: Step, progress: Progress) -> None:
        until = self._until(step, progress)
        with self._prover.logged(step.name):
            self.clients.workspace.create_deployment(
                self.names.endpoint, step.name, step.parameters, until
            )

    def settle_deployment(self, step: Step, progress: Progress) -> None:
        """Wait for what an earlier run began."""
        state = self.clients.workspace.deployment_state(self.names.endpoint, step.name)
        with self._prover.logged(step.name):
            self._until(step, progress)(state)

    def delete_deployment(self, step: Step, progress: Progress) -> None:
        self.clients.workspace.delete_deployment(
            self.names.endpoint, step.name, self._until(step, progress)
        )

    def smoke(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        golden = self._prover.golden_of(facts["model"]) if "model" in facts else self._bundle.golden
        self._prover.prove(golden, facts.get("deployment", ""), facts.get("expected", ""))

    def move(self, step: Step, progress: Progress) -> None:
        facts = step.parameters
        self.clients.workspace.move(
            step.name, facts.get("traffic"), facts["tags"], self._until(step, progress)
        )

    def delete_asset(self, step: Step, progress: Progress) -> None:
        self.clients.resources.delete(step.parameters["id"])

    def delete_files(self, step: Step, progress: Progress) -> None:
        blobs = self.clients.workspace.blobs()
        for name in sorted(blobs.hashes(step.parameters["folder"])):
            progress(name)
            blobs.delete(name)

    @property
    def _prover(self) -> SmokeTest:
        return SmokeTest(self.clients, self.names, self.clock)

    @property
    def _bundle(self) -> Bundle:
        if self.bundle is None:
            raise CloudError("this step is a deployment's, and needs the package")
        return self.bundle

    def _until(self, step: Step, progress: Progress) -> Until:
        return lambda state: wait(
            f"{step.resource} {step.name}", state, self.limit, progress, self.clock
        )


def _progress(progress: Progress, before: int, total: int) -> Any:
    return lambda done: progress(f"{(before + done) / 1e6:.1f} of {total / 1e6:.1f} MB")
