"""How a plan's steps are executed: each public method is one Step.operation, does what the step's
parameters say, and does no harm when it is done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.azure_blobs import megabytes
from onnxferry.infra.clients.azure_roles import Principal
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.errors import CloudError, LeaseLost, NotAllowed, NotFound, TimedOut
from onnxferry.infra.functions.app_settings import CONNECTION, changed
from onnxferry.infra.functions.keys import KeyOperations
from onnxferry.infra.functions.names import DEPLOYED, PREVIOUS, PUBLISHING, VERSION, description
from onnxferry.infra.functions.publishing import ROLE_SECONDS, Publication, is_missing_role, publish
from onnxferry.infra.functions.smoke import SmokeTest, golden_of
from onnxferry.infra.functions.template_operations import TemplateOperations
from onnxferry.infra.plan import Step
from onnxferry.infra.waiting import Clock
from onnxferry.system.hashes import sha256 as sha256_of


@dataclass(frozen=True)
class Operations(TemplateOperations, KeyOperations):
    """The operations on one app. Packages that are fetched from storage are kept in `folder`."""

    folder: Path
    clock: Clock = Clock()

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
        facts = step.parameters
        self.clients.storage.create_container(facts["account"], step.name, facts["metadata"])

    def create_workspace(self, step: Step) -> None:
        """Create the Log Analytics workspace."""
        facts = step.parameters
        create = self.clients.insights.create_workspace
        create(facts["id"], facts["location"], facts["tags"])

    def create_component(self, step: Step) -> None:
        """Create the Application Insights component on the workspace."""
        facts, workspace = step.parameters, self.names.workspace_id
        create = self.clients.insights.create_component
        create(facts["id"], workspace, facts["location"], facts["tags"])

    def assign_role(self, step: Step) -> None:
        """Give a role over a scope to the identity of an app."""
        app = step.parameters["app"]
        who = Principal(self._app(app).principal, named=self.names.app_id(app))
        self._assign(step, who, app)

    def give_access(self, step: Step) -> None:
        """Give who is signed in a role over the storage account, and wait until it holds, which
        takes some minutes."""
        self._assign(step, self.clients.roles.signed_in(), f"{self.names.app} uploads")

        def missing() -> str | None:
            return self._refused(lambda: self._packages().list(self.names.folder))

        self._wait_for_role(f"access to storage account {self.names.account}", missing)

    def upload_package(self, step: Step) -> None:
        """Upload the package; where its right was given a moment ago, wait until that is known
        everywhere."""
        facts, file = step.parameters, self._package(step)
        name, metadata = self.names.package(facts["sha256"]), facts["metadata"]

        def upload() -> None:
            sent = megabytes(self.progress)
            self._packages().upload(name, file, metadata, sent, overwrite=False)

        def missing() -> str | None:
            return self._refused(upload)

        if facts["wait_for_role"]:
            self._wait_for_role(f"uploading package {step.name}", missing)
        else:
            upload()

    def create_app_plan(self, step: Step) -> None:
        """Create a plan for an app."""
        facts = step.parameters
        begun = self.clients.web.create_app_plan(step.name, facts["location"], facts["tags"])
        self._finish(begun, f"plan {step.name}")

    def create_app(self, step: Step) -> None:
        """Create an app, which has no functions yet, and let it ask its callers for a token."""
        facts = step.parameters
        if self.clients.web.app(step.name) is None:
            site = self._with_connection(facts["site"])
            self._finish(self.clients.web.create_app(step.name, site), f"app {step.name}")
        if facts["sign_in"]:
            self.clients.web.put_sign_in(step.name, facts["sign_in"])

    def change_app(self, step: Step) -> None:
        """Change an app and its settings; all that the step does not name stays."""
        self._change(step.name, step.parameters, step.parameters.get("settings", {}))

    def change_settings(self, step: Step) -> None:
        """Set and remove variables; all other settings of the app stay."""
        self._change(step.name, {}, step.parameters)

    def sign_off(self, step: Step) -> None:
        """Ask an app's callers for no token any longer."""
        self.clients.web.put_sign_in(step.name, step.parameters["sign_off"])
        self.clients.groups.tag(self._app(step.name).id, step.parameters.get("tags", {}))

    def check_token(self, step: Step) -> None:
        """See that who is signed in can show the app a token."""
        self.clients.session.token_for(step.parameters["audience"])

    def change_tags(self, step: Step) -> None:
        """Set and remove tags of a resource; all others stay."""
        facts, groups = step.parameters, self.clients.groups
        if set_ := facts.get("set"):
            groups.tag(facts["id"], set_)
        if gone := facts.get("remove"):
            groups.untag(facts["id"], gone)

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
        publish(Publication(scm, app, package, self.progress, self.clock), self.wait)

    def promote(self, step: Step) -> None:
        """Publish to the app that serves, with the configuration and the changes of its settings
        that the step has. Its tags say so before: while they do, a run cut off is done again.
        Raises LeaseLost where another run has been there since the plan was made."""
        self._package(step)
        app, facts = self._app(step.name), step.parameters
        self._refuse_changed(app, facts["seen"], facts["sha256"])
        self.clients.groups.tag(app.id, {PUBLISHING: facts["sha256"]})
        self._change(app.name, facts.get("changes", {}), facts.get("settings", {}))
        self.publish(step)

    def restore(self, step: Step) -> None:
        """Publish what served before, let it prove itself, and let the tags say so."""
        self.promote(step)
        self.wait_until_healthy(step)
        self.smoke(step)
        changes = step.parameters.get("changes", {})
        if off := changes.get("sign_off"):
            self.clients.web.put_sign_in(step.name, off)
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
        facts = step.parameters
        deployed = {DEPLOYED: facts["deployed"]}
        self._record(step.name, facts["version"], facts["previous"], deployed)

    @property
    def _smoke_test(self) -> SmokeTest:
        return SmokeTest(self.clients, self.wait)

    def _assign(self, step: Step, who: Principal, whose: str) -> None:
        role, scope = step.parameters["role"], step.parameters["scope"]

        def missing() -> str | None:
            return self.clients.roles.assign(scope, role, who, description(whose))

        self.wait(f"role {role} for {whose}", missing)

    def _change(self, app: str, changes: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Callers are asked for a token before a setting may let in anybody, and an identity goes
        when no setting names it any longer."""
        web, what = self.clients.web, f"app {app}"
        first = {k: v for k, v in changes.items() if k in ("config", "subnet", "attach", "tags")}
        if first:
            self._finish(web.change_app(app, first), what)
        if asked := changes.get("sign_in"):
            web.put_sign_in(app, asked)
        if settings:
            filled = {**settings, "set": self._filled(settings.get("set", {}))}
            web.put_settings(app, changed(web.settings(app), filled))
        if gone := changes.get("detach"):
            self._finish(web.change_app(app, {"detach": gone}), what)

    def _with_connection(self, site: Mapping[str, Any]) -> dict[str, Any]:
        """The body of an app, with what is known now."""
        properties = dict(site["properties"])
        config = dict(properties["siteConfig"])
        pairs = {one["name"]: one["value"] for one in config["appSettings"]}
        filled = self._filled(pairs).items()
        config["appSettings"] = [{"name": name, "value": value} for name, value in filled]
        return {**site, "properties": {**properties, "siteConfig": config}}

    def _filled(self, settings: Mapping[str, str]) -> dict[str, str]:
        """`settings` with the connection to Application Insights, which is known since it is
        there."""
        if settings.get(CONNECTION) != "":
            return dict(settings)
        found = self.clients.insights.component(self.names.component_id)
        if found is None:
            name = self.names.component_id.rpartition("/")[2]
            raise NotFound(f"Application Insights {name}: it is gone; run again")
        return {**settings, CONNECTION: found.connection}

    def _record(
        self, app: str, version: str, previous: str, more: Mapping[str, str] | None = None
    ) -> None:
        # in one call: all, or none
        tags = {VERSION: version, PREVIOUS: previous, PUBLISHING: "", **(more or {})}
        found = self._app(app)
        if found.tags.get(PUBLISHING, "") not in ("", version):
            raise LeaseLost(f"app {app}: another run has published to it")
        self.clients.groups.tag(found.id, tags)

    def _refused(self, ask: Callable[[], object]) -> str | None:
        """`ask` for blobs: None, or what is waited for where the user has no role yet."""
        try:
            ask()
        except NotAllowed as e:
            if not is_missing_role(str(e)):
                raise
            return "waiting for the signed-in user's role on the storage account to take effect"
        return None

    def _wait_for_role(self, what: str, state: Callable[[], str | None]) -> None:
        """Wait as long as a new role may take."""
        began = self.clock.now()

        def within() -> str | None:
            missing, waited = state(), self.clock.now() - began
            if missing and waited > ROLE_SECONDS:
                raise TimedOut(
                    f"{what}: still {missing} after {waited:.0f} s. Run again later; if it stays"
                    " so, somebody may deny the role Storage Blob Data Contributor"
                )
            return missing

        self.wait(what, within)

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
