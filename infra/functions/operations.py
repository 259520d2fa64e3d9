"""How a plan's steps are executed: each method is one Step.operation, does what the step's
parameters say, and does no harm when it is done twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.azure import translated
from onnxferry.infra.clients.blobs import Packages
from onnxferry.infra.clients.roles import BLOB_CONTRIBUTOR, BLOB_OWNER, Principal, Role
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.clients.storage import Account
from onnxferry.infra.clients.web import App
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound
from onnxferry.infra.functions.archive import golden_of
from onnxferry.infra.functions.environment import changed
from onnxferry.infra.functions.names import MADE, PREVIOUS, PUBLISHING, VERSION, Names
from onnxferry.infra.functions.publishing import Publication, publish
from onnxferry.infra.functions.smoke import SmokeTest
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.plan import Operation, Step
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.manifest import Golden
from onnxferry.system.console import Progress
from onnxferry.system.hashes import sha256 as sha256_of


@dataclass
class Operations:
    """The operations of one app; `limit` is that of each wait, in seconds."""

    clients: Clients
    names: Names
    limit: float
    clock: Clock
    bundle: Bundle | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)
    # before, by app
    _settings: dict[str, dict[str, str]] = field(default_factory=dict, init=False, repr=False)

    def table(self) -> Mapping[str, Operation]:
        """By the names that steps give."""
        names = (
            "group",
            "account",
            "uploader",
            "container",
            "upload",
            "farm",
            "app",
            "environment",
            "role",
            "settle",
            "fetch",
            "publish",
            "promote",
            "restore",
            "healthy",
            "smoke",
            "record",
            "delete_roles",
            "delete_app",
            "delete_farm",
            "delete_container",
            "delete_package",
            "delete_account",
            "delete_group",
        )
        return {name: getattr(self, name) for name in names}

    def group(self, step: Step, progress: Progress) -> None:
        self.clients.groups.create(step.name, step.parameters["location"], step.parameters["tags"])

    def account(self, step: Step, progress: Progress) -> None:
        begun = self.clients.storage.create(
            step.name, step.parameters["location"], step.parameters["tags"]
        )
        self._finish(begun, f"storage account {step.name}", progress)

    def uploader(self, step: Step, progress: Progress) -> None:
        """Let the signed-in user write to the account that we made: no owner's role includes
        that."""
        self._give(
            BLOB_CONTRIBUTOR, self.clients.roles.signed_in(), f"{self.names.app} uploads", progress
        )

    def container(self, step: Step, progress: Progress) -> None:
        self.clients.storage.create_container(step.parameters["account"], step.name)

    def upload(self, step: Step, progress: Progress) -> None:
        """Upload the package; where we gave the right a moment ago, wait until it is known
        everywhere."""
        package = self._package(step.parameters["sha256"], progress)

        def missing() -> str | None:
            try:
                name, python = (
                    self.names.package(step.parameters["sha256"]),
                    step.parameters["python"],
                )
                self._packages().upload(name, package, {"python": python}, progress)
            except NotAllowed:
                if not step.parameters["patient"]:
                    raise
                return "waiting for the signed-in user's role on the storage account to take effect"
            return None

        self._wait(f"uploading package {step.name}", missing, progress)

    def farm(self, step: Step, progress: Progress) -> None:
        begun = self.clients.web.create_farm(
            step.name, step.parameters["location"], step.parameters["tags"]
        )
        self._finish(begun, f"plan {step.name}", progress)

    def app(self, step: Step, progress: Progress) -> None:
        """Create the app, or create one again that failed; tags that are there stay."""
        facts, found = step.parameters, self.clients.web.app(step.name)
        settings = [{"name": name, "value": value} for name, value in facts["settings"].items()]
        properties: dict[str, Any] = {
            "serverFarmId": self.names.farm_id(step.name),
            "httpsOnly": True,
            "functionAppConfig": facts["config"],
        }
        if found is None or found.state == "Failed":
            properties["siteConfig"] = {"minTlsVersion": "1.2", "appSettings": settings}
        tags = {**facts["tags"], **(found.tags if found else {})}
        begun = self.clients.web.put_app(step.name, facts["location"], tags, properties)
        self._finish(begun, f"app {step.name}", progress)

    def environment(self, step: Step, progress: Progress) -> None:
        """Set and remove variables; all other settings of the app stay."""
        found = self.clients.web.settings(step.name)
        self._settings.setdefault(step.name, found)
        self.clients.web.put_settings(step.name, changed(found, step.parameters))

    def role(self, step: Step, progress: Progress) -> None:
        """Let the app's identity use the storage account: the host's own blobs, and the published
        package."""
        name = step.parameters["app"]
        self._give(BLOB_OWNER, Principal(self._app(name).principal), name, progress)

    def _give(self, role: Role, who: Principal, whose: str, progress: Progress) -> None:
        def missing() -> str | None:
            return self.clients.roles.assign(self.names.account_id, role, who, described(whose))

        self._wait(f"role {role.name} for {whose}", missing, progress)

    def settle(self, step: Step, progress: Progress) -> None:
        """Wait for what an earlier run, or another, has begun."""
        ask: Mapping[str, Callable[[str], Any]] = {
            "resource group": self.clients.groups.get,
            "storage account": self.clients.storage.get,
            "plan": self.clients.web.farm,
            "app": self.clients.web.app,
        }
        begun = step.parameters["state"]

        def unsettled() -> str | None:
            found = ask[step.parameters["kind"]](step.name)
            return found.state if found is not None and found.state == begun else None

        self._wait(str(step), unsettled, progress)

    def fetch(self, step: Step, progress: Progress) -> None:
        """Have the package here, whole, before anything is changed."""
        self._package(step.parameters["sha256"], progress)

    def publish(self, step: Step, progress: Progress) -> None:
        self._publish(self._app(step.name), step.parameters["sha256"], progress)

    def promote(self, step: Step, progress: Progress) -> None:
        """Publish to the app that serves. Its tags say so before: while they do, a run cut off is
        done again."""
        app, package = self._app(step.name), self._package(step.parameters["sha256"], progress)
        self.clients.groups.tag(app.id, {PUBLISHING: step.parameters["sha256"]})
        if config := step.parameters.get("config"):
            properties = {
                "serverFarmId": self.names.farm_id(app.name),
                "httpsOnly": True,
                "functionAppConfig": config,
            }
            tags = {**app.tags, PUBLISHING: step.parameters["sha256"]}
            self._finish(
                self.clients.web.put_app(app.name, app.location, tags, properties),
                f"app {app.name}",
                progress,
            )
        if changes := step.parameters.get("environment"):
            self.environment(replace(step, parameters=changes), progress)
        self._send(app, package, progress)

    def restore(self, step: Step, progress: Progress) -> None:
        """Publish what served before, let it prove itself, and let the tags say so. The settings
        that were there are known to this run alone, since they are no plan's to hold."""
        if "settings" in step.parameters and step.name in self._settings:
            self.clients.web.put_settings(step.name, self._settings[step.name])
        self.promote(step, progress)
        self.healthy(step, progress)
        self.smoke(step, progress)
        self._tag(step.name, step.parameters["sha256"], step.parameters["previous"])

    def healthy(self, step: Step, progress: Progress) -> None:
        self._prover().healthy(self._app(step.name), progress)

    def smoke(self, step: Step, progress: Progress) -> None:
        golden = self._golden(step.parameters["sha256"], progress)
        self._prover().answers(self._app(step.name), golden, progress)

    def record(self, step: Step, progress: Progress) -> None:
        self._tag(step.name, step.parameters["version"], step.parameters["previous"])

    def delete_roles(self, step: Step, progress: Progress) -> None:
        for assignment in self.clients.roles.described(self.names.account_id, described(step.name)):
            self.clients.roles.delete(assignment)

    def delete_app(self, step: Step, progress: Progress) -> None:
        self.clients.web.delete_app(step.name)

    def delete_farm(self, step: Step, progress: Progress) -> None:
        self.clients.web.delete_farm(step.name)

    def delete_container(self, step: Step, progress: Progress) -> None:
        self.clients.storage.delete_container(step.parameters["account"], step.name)

    def delete_package(self, step: Step, progress: Progress) -> None:
        self._packages().delete(self.names.package(step.parameters["sha256"]))

    def delete_account(self, step: Step, progress: Progress) -> None:
        self.clients.storage.delete(step.name)

    def delete_group(self, step: Step, progress: Progress) -> None:
        self._finish(self.clients.groups.delete(step.name), f"resource group {step.name}", progress)

    def _tag(self, app: str, version: str, previous: str) -> None:
        # in one call: both, or neither
        tags = {VERSION: version, PREVIOUS: previous, PUBLISHING: ""}
        self.clients.groups.tag(self._app(app).id, tags)

    def _publish(self, app: App, sha256: str, progress: Progress) -> None:
        self._send(app, self._package(sha256, progress), progress)

    def _send(self, app: App, package: Path, progress: Progress) -> None:
        publication = Publication(
            Scm(self.clients.session, app.name, app.scm), app.name, package, progress
        )
        publish(publication, self.limit, self.clock)

    def _prover(self) -> SmokeTest:
        return SmokeTest(self.clients, self.limit, self.clock)

    def _app(self, name: str) -> App:
        found = self.clients.web.app(name)
        if found is None:
            raise NotFound(
                f"Azure Functions app {name} of resource group {self.names.group}: it is gone; run"
                " again"
            )
        return found

    def _account(self) -> Account:
        found = self.clients.storage.get(self.names.account)
        if found is None:
            raise NotFound(f"storage account {self.names.account}: it is gone; run again")
        return found

    def _packages(self) -> Packages:
        return self.clients.packages(self._account())

    def _package(self, sha256: str, progress: Progress) -> Path:
        """The package's file: the bundle's, or a copy of the one in storage."""
        if self.bundle and self.bundle.package.sha256 == sha256:
            return self.bundle.package.path
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="onnxferry-")
        file = Path(self._folder.name) / f"{sha256}.zip"
        if not file.exists():
            fresh = file.with_suffix(".part")
            self._packages().download(self.names.package(sha256), fresh, progress)
            if sha256_of(fresh) != sha256:
                raise CloudError(
                    f"package {sha256[:12]} in storage account {self.names.account}: its bytes are"
                    " not those that were uploaded. Delete the blob, and deploy that version again"
                    " from its model directory"
                )
            fresh.rename(file)
        return file

    def _golden(self, sha256: str, progress: Progress) -> Golden:
        if self.bundle and self.bundle.package.sha256 == sha256:
            return self.bundle.golden
        return golden_of(self._package(sha256, progress))

    def _wait(self, what: str, state: Callable[[], str | None], progress: Progress) -> None:
        wait(what, state, self.limit, progress, self.clock)

    def _finish(self, poller: Any, what: str, progress: Progress) -> None:
        """Wait for an operation of the resource manager."""
        with translated(what):
            self._wait(what, lambda: None if poller.done() else str(poller.status()), progress)
            poller.result()


def described(app: str) -> str:
    """What the role assignments of an app's identity say of themselves, so that they are found when
    it is gone."""
    return f"{MADE}: {app}"
