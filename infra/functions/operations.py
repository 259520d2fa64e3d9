"""How a plan's steps are executed: each public method is one Step.operation, does what the step's
parameters say, and does no harm when it is done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azure_blobs import BlobContainer, megabytes
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.azure_roles import Principal
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound
from onnxferry.infra.functions.app_settings import changed
from onnxferry.infra.functions.names import PREVIOUS, PUBLISHING, VERSION, Names, description
from onnxferry.infra.functions.publishing import Publication, publish
from onnxferry.infra.functions.smoke import SmokeTest, golden_of
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.plan import Step
from onnxferry.system.console import Progress
from onnxferry.system.hashes import sha256 as sha256_of


@dataclass(frozen=True)
class Operations:
    """The operations on one app; `wait` waits for what they begin. Packages that are fetched from
    storage are kept in `folder`."""

    clients: Clients
    names: Names
    wait: Wait
    progress: Progress
    folder: Path

    def create_group(self, step: Step) -> None:
        """Create the resource group."""
        self.clients.groups.create(step.name, step.parameters["location"], step.parameters["tags"])

    def create_account(self, step: Step) -> None:
        """Create the storage account."""
        facts = step.parameters
        begun = self.clients.storage.create(step.name, facts["location"], facts["tags"])
        self._finish(begun, f"storage account {step.name}")

    def create_container(self, step: Step) -> None:
        """Create a container of the storage account."""
        self.clients.storage.create_container(step.parameters["account"], step.name)

    def assign_role(self, step: Step) -> None:
        """Give a role over a scope to the identity of the app that is said, or to who is signed
        in."""
        role, scope, app = (step.parameters.get(key, "") for key in ("role", "scope", "app"))
        who = Principal(self._app(app).principal) if app else self.clients.roles.signed_in()
        whose = app or f"{self.names.app} uploads"

        def missing() -> str | None:
            return self.clients.roles.assign(scope, role, who, description(whose))

        self.wait(f"role {role} for {whose}", missing)

    def upload_package(self, step: Step) -> None:
        """Upload the package; where its right was given a moment ago, wait until that is known
        everywhere."""
        facts, file = step.parameters, self._package(step)
        name, metadata = self.names.package(facts["sha256"]), {"python": facts["python"]}

        def missing() -> str | None:
            try:
                upload, sent = self._packages().upload, megabytes(self.progress)
                upload(name, file, metadata, sent, overwrite=False)
            except NotAllowed:
                if not facts["wait_for_role"]:
                    raise
                return "waiting for the signed-in user's role on the storage account to take effect"
            return None

        self.wait(f"uploading package {step.name}", missing)

    def create_app_plan(self, step: Step) -> None:
        """Create a plan for an app."""
        facts = step.parameters
        begun = self.clients.web.create_app_plan(step.name, facts["location"], facts["tags"])
        self._finish(begun, f"plan {step.name}")

    def put_app(self, step: Step) -> None:
        """Create or change an app; tags that are there stay, and so do its settings unless the step
        has some."""
        facts, found = step.parameters, self.clients.web.app(step.name)
        site = {}
        if settings := facts.get("settings"):
            pairs = [{"name": name, "value": value} for name, value in settings.items()]
            site = {"siteConfig": {"minTlsVersion": "1.2", "appSettings": pairs}}
        tags = {**facts["tags"], **(found.tags if found else {})}
        properties = {"functionAppConfig": facts["config"], **site}
        begun = self._put(step.name, facts["location"], tags, properties)
        self._finish(begun, f"app {step.name}")

    def change_settings(self, step: Step) -> None:
        """Set and remove variables; all other settings of the app stay."""
        found = self.clients.web.settings(step.name)
        self.clients.web.put_settings(step.name, changed(found, step.parameters))

    def wait_until_stable(self, step: Step) -> None:
        """Wait for what an earlier run, or another, has begun."""
        ask: dict[str, Callable[[str], Any]] = {
            "resource group": self.clients.groups.get,
            "storage account": self.clients.storage.get,
            "plan": self.clients.web.app_plan,
            "app": self.clients.web.app,
        }

        def unstable() -> str | None:
            found = ask[step.resource](step.name)
            begun = step.parameters["state"]
            return begun if found is not None and found.state == begun else None

        self.wait(str(step), unstable)

    def fetch_package(self, step: Step) -> None:
        """Have the package here, whole, before anything is changed."""
        self._package(step)

    def publish(self, step: Step) -> None:
        """Publish a package to an app."""
        package, app = self._package(step), self._app(step.name)
        scm = Scm(self.clients.session, app.name, app.scm)
        publish(Publication(scm, app.name, package, self.progress), self.wait)

    def promote(self, step: Step) -> None:
        """Publish to the app that serves, with the configuration and the changes of its settings
        that the step has. Its tags say so before: while they do, a run cut off is done again."""
        self._package(step)
        app, facts = self._app(step.name), step.parameters
        publishing = {PUBLISHING: facts["sha256"]}
        self.clients.groups.tag(app.id, publishing)
        if config := facts.get("config"):
            properties, tags = {"functionAppConfig": config}, {**app.tags, **publishing}
            begun = self._put(app.name, app.location, tags, properties)
            self._finish(begun, f"app {app.name}")
        if changes := facts.get("settings"):
            self.change_settings(replace(step, parameters=changes))
        self.publish(step)

    def restore(self, step: Step) -> None:
        """Publish what served before, let it prove itself, and let the tags say so."""
        self.promote(step)
        self.wait_until_healthy(step)
        self.smoke(step)
        self._record(step.name, step.parameters["sha256"], step.parameters["previous"])

    def wait_until_healthy(self, step: Step) -> None:
        """Wait until the app's host runs and knows its function."""
        self._smoke_test.wait_until_healthy(self._app(step.name))

    def smoke(self, step: Step) -> None:
        """Send the golden request of the package to the app."""
        golden = golden_of(self._package(step))
        self._smoke_test.run(self._app(step.name), golden)

    def record_version(self, step: Step) -> None:
        """Record in the app's tags what serves and what served before."""
        self._record(step.name, step.parameters["version"], step.parameters["previous"])

    def delete_roles(self, step: Step) -> None:
        """Delete the roles on the storage account that were given to an app."""
        roles, scope = self.clients.roles, self.names.account_id
        for assignment in roles.described(scope, description(step.name)):
            roles.delete(assignment)

    def delete_app(self, step: Step) -> None:
        """Delete an app."""
        self.clients.web.delete_app(step.name)

    def delete_app_plan(self, step: Step) -> None:
        """Delete an app's plan."""
        self.clients.web.delete_app_plan(step.name)

    def delete_container(self, step: Step) -> None:
        """Delete a container of the storage account."""
        self.clients.storage.delete_container(step.parameters["account"], step.name)

    def delete_package(self, step: Step) -> None:
        """Delete a package from the storage account."""
        self._packages().delete(self.names.package(step.parameters["sha256"]))

    def delete_account(self, step: Step) -> None:
        """Delete the storage account."""
        self.clients.storage.delete(step.name)

    def delete_group(self, step: Step) -> None:
        """Delete the resource group with all that is in it."""
        begun = self.clients.groups.delete(step.name)
        self._finish(begun, f"resource group {step.name}")

    @property
    def _smoke_test(self) -> SmokeTest:
        return SmokeTest(self.clients, self.wait)

    def _put(self, app: str, location: str, tags: Mapping[str, str], own: Mapping[str, Any]) -> Any:
        properties = {"serverFarmId": self.names.app_plan_id(app), "httpsOnly": True, **own}
        return self.clients.web.put_app(app, location, tags, properties)

    def _record(self, app: str, version: str, previous: str) -> None:
        # in one call: both, or neither
        tags = {VERSION: version, PREVIOUS: previous, PUBLISHING: ""}
        self.clients.groups.tag(self._app(app).id, tags)

    def _app(self, name: str) -> FunctionApp:
        found = self.clients.web.app(name)
        if found is None:
            raise NotFound(
                f"Azure Functions app {name} of resource group {self.names.group}: it is gone; run"
                " again"
            )
        return found

    def _packages(self) -> BlobContainer:
        found = self.clients.storage.get(self.names.account)
        if found is None:
            raise NotFound(f"storage account {self.names.account}: it is gone; run again")
        return self.clients.packages(found)

    def _package(self, step: Step) -> Path:
        """The file of the step's package: the one that is deployed, or a copy of the one in
        storage. Raises CloudError when its bytes are not those that the step says."""
        sha256, given = step.parameters["sha256"], step.parameters.get("file")
        file = Path(given) if given else self._fetched(sha256)
        if sha256_of(file) != sha256:
            where = given or f"in storage account {self.names.account}"
            raise CloudError(
                f"package {sha256[:12]} {where}: its bytes are not those that were uploaded."
                " Delete it, and deploy that version again from its model directory"
            )
        return file

    def _fetched(self, sha256: str) -> Path:
        file = self.folder / f"{sha256}.zip"
        if not file.exists():
            fresh = file.with_suffix(".part")
            self._packages().download(self.names.package(sha256), fresh, megabytes(self.progress))
            fresh.rename(file)
        return file

    def _finish(self, poller: Any, what: str) -> None:
        """Wait for an operation of the resource manager."""
        with translated(what):
            self.wait(what, lambda: None if poller.done() else str(poller.status()))
            poller.result()
