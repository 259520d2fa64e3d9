"""How a plan's steps are executed: each public method is one Step.operation, does what the step's
parameters say, and may be done twice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.smoke import SmokeTest
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azure_blobs import megabytes
from onnxferry.infra.clients.azureml import Until
from onnxferry.infra.plan import Step
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress
from onnxferry.system.errors import PackageError
from onnxferry.system.hashes import sha256 as sha256_of


@dataclass(frozen=True)
class Operations:
    """The operations at one endpoint; `wait` waits for what they begin."""

    clients: Clients
    names: Names
    wait: Wait
    clock: Clock
    progress: Progress

    def upload(self, step: Step) -> None:
        """Upload what is missing of a package's folder. Raises PackageError for a changed file."""
        folder, source = step.parameters["folder"], Path(step.parameters["source"])
        blobs = self.clients.workspace.blobs()
        there = blobs.list(f"{folder}/")
        sizes = {name: (source / name).stat().st_size for name in step.parameters["files"]}
        done, total = 0, sum(sizes.values())
        for name, sha256 in step.parameters["files"].items():
            blob, facts = f"{folder}/{name}", {"sha256": sha256}
            sent = megabytes(self.progress, done, total)
            if there.get(blob, {}).get("sha256") != sha256:
                if sha256_of(source / name) != sha256:
                    raise PackageError(f"{source / name}: changed since the plan; deploy again")
                blobs.upload(blob, source / name, facts, sent, overwrite=True)
            sent(sizes[name], None)
            done += sizes[name]

    def register_model(self, step: Step) -> None:
        """Register an uploaded version of the model."""
        self.clients.workspace.register_model(self.names.endpoint, step.parameters)

    def register_code(self, step: Step) -> None:
        """Register an uploaded version of the code."""
        facts = step.parameters
        own = {"codeUri": facts["uri"], "isAnonymous": False, "isArchived": False}
        self.clients.resources.put(self.names.id("code", facts["version"]), own)

    def register_environment(self, step: Step) -> None:
        """Register a version of the environment."""
        self.clients.workspace.register_environment(self.names.endpoint, step.parameters)

    def create_endpoint(self, step: Step) -> None:
        """Create the endpoint, without deployments."""
        create, facts = self.clients.endpoints.create_endpoint, step.parameters
        create(step.name, facts["auth_mode"], facts["tags"], self._until(step))

    def update_endpoint(self, step: Step) -> None:
        """Give the endpoint the traffic, if any, and the tags; its other tags stay."""
        update, facts = self.clients.endpoints.shift_traffic, step.parameters
        update(step.name, facts.get("traffic"), facts["tags"], self._until(step))

    def delete_endpoint(self, step: Step) -> None:
        """Delete the endpoint with all its deployments."""
        self.clients.endpoints.delete_endpoint(step.name, self._until(step))

    def create_deployment(self, step: Step) -> None:
        """Create a deployment without traffic, or change it."""
        create = self.clients.endpoints.create_deployment
        with self._smoke_test.logged(step.name):
            create(self.names.endpoint, step.name, step.parameters, self._until(step))

    def delete_deployment(self, step: Step) -> None:
        """Delete a deployment."""
        delete = self.clients.endpoints.delete_deployment
        delete(self.names.endpoint, step.name, self._until(step))

    def wait_until_stable(self, step: Step) -> None:
        """Wait for what an earlier run began."""
        endpoints, until = self.clients.endpoints, self._until(step)
        if step.resource == "endpoint":
            until(partial(endpoints.endpoint_state, step.name))
            return
        with self._smoke_test.logged(step.name):
            until(partial(endpoints.deployment_state, self.names.endpoint, step.name))

    def smoke(self, step: Step) -> None:
        """Send the golden request."""
        facts = dict(step.parameters)
        golden = self._smoke_test.golden(facts.pop("spec", ""), facts.pop("model", ""))
        self._smoke_test.run(golden, **facts)

    def delete_asset(self, step: Step) -> None:
        """Delete a version of model, code or environment."""
        self.clients.resources.delete(step.parameters["id"])

    def delete_files(self, step: Step) -> None:
        """Delete files of the default datastore."""
        blobs = self.clients.workspace.blobs()
        for name in step.parameters["files"]:
            self.progress(name)
            blobs.delete(name)

    @property
    def _smoke_test(self) -> SmokeTest:
        return SmokeTest(self.clients, self.names, self.clock)

    def _until(self, step: Step) -> Until:
        return partial(self.wait, f"{step.resource} {step.name}")
