"""How a template's deployment is executed: begun once, and followed resource by resource. Azure
goes on with it when nobody follows; a run after one that was cut off waits for its end first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from onnxferry.infra.errors import CloudError, NotAllowed
from onnxferry.infra.functions.app_settings import changed, setting_changes
from onnxferry.infra.functions.names import PACKAGES, description
from onnxferry.infra.functions.removals import Removals
from onnxferry.infra.plan import Step

if TYPE_CHECKING:
    from onnxferry.infra.clients.azure_deployments import Deployments


@dataclass(frozen=True)
class TemplateOperations(Removals):
    """The operations on the deployment of one app's template."""

    def wait_for_template(self, step: Step) -> None:
        """Wait for the end of a deployment that an earlier run has begun, whichever it is."""
        self._wait_for_others(step.parameters["deployment"])

    def open_packages(self, step: Step) -> None:
        """Give who is signed in the right to the packages, where such a deployment has made a place
        for them, and wait until that holds."""
        facts, names, roles = step.parameters, self.names, self.clients.roles
        account = self.clients.storage.get(names.account)
        if account is None or PACKAGES not in self.clients.storage.containers(names.account):
            return
        roles.assign(
            facts["scope"], facts["role"], roles.signed_in(), description(f"{names.app} uploads")
        )

        def closed() -> str | None:
            try:
                self._packages().list(names.folder)
            except NotAllowed:
                return "waiting for the signed-in user's role to take effect"
            return None

        self.wait(str(step), closed)

    def begin_template(self, step: Step) -> None:
        """Begin the deployment, with the settings that others made in the app now; they are in no
        plan, since secrets may be among them."""
        facts, name = step.parameters, step.parameters["deployment"]
        self._wait_for_others(name)
        values = {**facts["values"], "keptSettings": self._settings_of_others(step)}
        if self._deployments.begin(name, facts["template"], values):
            return
        self._wait_for_others(name)  # its own, whose answer was lost, or another's
        if not self._deployments.begin(name, facts["template"], values):
            raise CloudError(
                f"template deployment {name}: others deploy under that name all the time; run again"
                " when they have ended"
            )

    def follow_resource(self, step: Step) -> None:
        """Wait until the deployment has made or changed one resource."""
        name, id_ = step.parameters["deployment"], step.parameters["id"].lower()

        def state() -> str | None:
            if any(
                one.id.lower() == id_ and one.state == "Succeeded"
                for one in self._deployments.operations(name)
            ):
                return None
            return self._under_way(name)

        self.wait(str(step), state)

    def finish_template(self, step: Step) -> None:
        """Wait for the end of the deployment."""
        name = step.parameters["deployment"]
        self.wait(str(step), lambda: self._under_way(name))

    def _under_way(self, name: str) -> str | None:
        """None at the end; raises CloudError with all that failed."""
        state = self._deployments.state(name)
        if state == "Failed":
            raise self._deployments.failure(name)
        if state in ("", "Canceled"):
            word = "was cancelled" if state else "is gone"
            raise CloudError(f"template deployment {name}: it {word}; run the same command again")
        return None if state == "Succeeded" else f"deploying ({state})"

    def _wait_for_others(self, name: str) -> None:
        from onnxferry.infra.clients.azure_deployments import ENDED

        def at_work() -> str | None:
            state = self._deployments.state(name)
            return None if state in ("", *ENDED) else f"an earlier one is at work ({state})"

        self.wait(f"template deployment {name}", at_work)

    def _settings_of_others(self, step: Step) -> dict[str, str]:
        app = self.names.app
        if self.clients.web.app(app) is None:
            return {}
        found, environment = self.clients.web.settings(app), step.parameters["environment"]
        ours = {*environment, *step.parameters["template"]["variables"]["settings"]}
        after = changed(found, setting_changes(found, environment))
        return {name: value for name, value in after.items() if name not in ours}

    @cached_property
    def _deployments(self) -> Deployments:
        from onnxferry.infra.clients.azure_deployments import Deployments

        return Deployments(self.clients.session, self.names.group)
