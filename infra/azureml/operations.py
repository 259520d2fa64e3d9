"""How a plan's steps are executed: each public method is one Step.operation, does what the step's
parameters say, and may be done twice. What deletes or replaces something reads once more, just
before, whose that is and what serves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxferry.infra.azureml.access import AccessOperations
from onnxferry.infra.azureml.assets import needed_by
from onnxferry.infra.azureml.batch.operations import BatchOperations
from onnxferry.infra.azureml.keys import KeyOperations
from onnxferry.infra.azureml.names import MADE, Names, Version
from onnxferry.infra.azureml.rollout_operations import RolloutOperations
from onnxferry.infra.azureml.scaling.operations import ScalingOperations
from onnxferry.infra.azureml.smoke import SmokeTest
from onnxferry.infra.azureml.state import Clients, batch_deployments
from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azure_blobs import megabytes
from onnxferry.infra.clients.azureml import Until
from onnxferry.infra.errors import NameTaken, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.tidying import optional, told
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress
from onnxferry.system.errors import PackageError
from onnxferry.system.hashes import sha256 as sha256_of

_ELSEWHERE = "another workspace of the region has this name, and names are unique in a region"


@dataclass(frozen=True)
class Operations(
    AccessOperations, BatchOperations, KeyOperations, RolloutOperations, ScalingOperations
):
    """The operations at one endpoint; `wait` waits for what they begin."""

    clients: Clients
    names: Names
    wait: Wait
    clock: Clock
    progress: Progress

    def upload(self, step: Step) -> None:
        """Upload what is missing of a package's folder. Raises PackageError for a changed file, and
        Refused where somebody else's is in its place."""
        folder, source = step.parameters["folder"], Path(step.parameters["source"])
        blobs = self.clients.workspace.blobs()
        there = blobs.list(f"{folder}/")
        sizes = {name: (source / name).stat().st_size for name in step.parameters["files"]}
        done, total = 0, sum(sizes.values())
        for name, sha256 in step.parameters["files"].items():
            blob, facts = f"{folder}/{name}", {"sha256": sha256, **step.parameters["marks"]}
            sent = megabytes(self.progress, done, total)
            if blob in there and not self.names.is_ours(there[blob]):
                raise Refused(f"{self._not_ours(blob)}. Move it away")
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
        own = {"codeUri": facts["uri"], "tags": facts["tags"]}
        own |= {"isAnonymous": False, "isArchived": False}
        self.clients.resources.put(self.names.id("code", facts["version"]), own)

    def register_environment(self, step: Step) -> None:
        """Register a version of the environment."""
        self.clients.workspace.register_environment(self.names.endpoint, step.parameters)

    def create_endpoint(self, step: Step) -> None:
        """Create the endpoint, without deployments. Raises NameTaken where somebody else has the
        name."""
        endpoints = self.clients.endpoints
        if endpoints.create_endpoint(step.name, step.parameters, self._until(step)):
            return
        found = endpoints.endpoint(step.name)
        if found is None or not self.names.is_ours(found.tags):
            whose = _ELSEWHERE if found is None else "somebody else has just made it here"
            advice = "choose another one: --name, or name in [model] of deploy.toml"
            raise NameTaken(f"{self.names.where}: {whose}; {advice}")

    def update_endpoint(self, step: Step) -> None:
        """Give the endpoint the traffic, if any, and the tags; its other tags stay. Raises Refused
        where somebody has moved the traffic since the plan."""
        facts, until = step.parameters, self._until(step)
        shift = partial(self.clients.endpoints.shift_traffic, step.name, until=until)
        shift(facts.get("traffic"), facts["tags"], facts.get("seen", ()))

    def mirror_traffic(self, step: Step) -> None:
        """Copy a part of the endpoint's traffic to a deployment, or end that, and set the tags.
        Raises Refused where somebody has moved the traffic since the plan."""
        facts = step.parameters
        given = (facts["mirror"], facts["tags"], facts["seen"])
        self.clients.endpoints.mirror_traffic(step.name, *given, self._until(step))

    def delete_endpoint(self, step: Step) -> None:
        """Delete the endpoint with all its deployments. Raises Refused where it is not ours, or
        where one of them was not planned to go."""
        endpoints, where = self.clients.endpoints, self.names.where
        found = endpoints.endpoint(step.name)
        if found is None:
            return
        there = {one.name for one in endpoints.deployments(step.name)}
        if others := there - set(step.parameters["deployments"]):
            names = ", ".join(sorted(others))
            raise Refused(f"{where}: it has the deployment {names} since; run the command again")
        if not self.names.is_ours(found.tags):
            raise Refused(self._not_ours(where))
        endpoints.delete_endpoint(step.name, self._until(step))

    def create_deployment(self, step: Step) -> None:
        """Create a deployment without traffic, or change it."""
        create = self.clients.endpoints.create_deployment
        with self._smoke_test.logged(step.name):
            create(self.names.endpoint, step.name, step.parameters, self._until(step))

    def tag_deployment(self, step: Step) -> None:
        """Give a deployment these tags; its other tags stay."""
        endpoints, name, until = self.clients.endpoints, self.names.endpoint, self._until(step)
        settled = partial(endpoints.deployment_state, name, step.name)
        run = partial(self.clients.workspace.run, f"deployment {step.name} of ", until)
        for _ in range(2):  # again, after an operation in its way
            found = endpoints.deployment(name, step.name)
            tags = {**(found.tags if found else {}), **step.parameters["tags"]}
            if found is None or tags == found.tags:
                return
            id_ = self.names.deployment_id(step.name)
            if run(self.clients.resources.begin_tag, id_, tags, settled=settled):
                return

    def delete_deployment(self, step: Step) -> None:
        """Delete a deployment. Raises Refused where it takes traffic, or is not ours."""
        endpoints, name = self.clients.endpoints, self.names.endpoint
        found, endpoint = endpoints.deployment(name, step.name), endpoints.endpoint(name)
        if found is None or endpoint is None:
            return
        where = f"deployment {step.name} of {self.names.where}"
        if share := endpoint.traffic.get(step.name):
            said = f"it takes {share} % of the traffic now, so it stays; run the command again"
            raise Refused(f"{where}: {said}")
        if not self.names.owns_deployment(found.name, found.tags):
            raise Refused(self._not_ours(where))
        endpoints.delete_deployment(name, step.name, self._until(step))

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
        """Delete a version of model, code or environment that no deployment refers to. Where Azure
        does not delete it, it is archived, which hides it."""
        version = (step.resource, step.parameters["version"])
        with optional(step):
            if version in self._needed():
                raise Refused(f"{step.resource} {step.name}: a deployment refers to it; it stays")
            self._delete_or_archive(self.names.id(*version), f"{step.resource} {step.name}")

    def delete_files(self, step: Step) -> None:
        """Delete those of the files that are ours, and no deployment's, from the default
        datastore; the lease's document last."""
        with optional(step):
            blobs, needed = self.clients.workspace.blobs(), self._needed()
            there = blobs.list(f"{self.names.folder}/")
            for name in step.parameters["files"]:
                ours = name in there and self.names.is_ours(there[name])
                if (ours and self.names.file_of(name) not in needed) or name == self.names.lease:
                    self.progress(name)
                    blobs.delete(name)

    def _delete_or_archive(self, id_: str, what: str) -> None:
        resources = self.clients.resources
        try:
            resources.delete(id_)
        except Refused as e:
            found = dict((resources.get(id_) or {}).get("properties") or {})
            found.pop("provisioningState", None)
            try:
                if found:
                    resources.put(id_, {**found, "isArchived": True})
            except Refused:
                told(f"{what} stays registered, which costs nothing: {e}")

    def _needed(self) -> set[Version]:
        """What the endpoint's deployments, and those for batch jobs, refer to now."""
        endpoints, name = self.clients.endpoints, self.names.endpoint
        there = endpoints.endpoint(name)
        online = endpoints.deployments(name) if there else ()
        return needed_by(self.names, (*online, *batch_deployments(self.clients, self.names)))

    def _not_ours(self, what: str) -> str:
        mark = f"{MADE}={self.names.made}"
        return f"{what}: onnxferry did not make it (no mark {mark}), so it stays as it is"

    @property
    def _smoke_test(self) -> SmokeTest:
        return SmokeTest(self.clients, self.names, self.clock)

    def _until(self, step: Step) -> Until:
        return partial(self.wait, f"{step.resource} {step.name}")
