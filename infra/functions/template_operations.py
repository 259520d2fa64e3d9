"""How the deployment of an app's template is executed."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.errors import NotAllowed
from onnxferry.infra.functions.app_settings import changed, setting_changes
from onnxferry.infra.functions.names import PACKAGES, description
from onnxferry.infra.functions.removals import Removals
from onnxferry.infra.plan import Step
from onnxferry.infra.templates.following import FollowedDeployment


@dataclass(frozen=True)
class TemplateOperations(Removals):
    """The operations on the deployment of one app's template."""

    def wait_for_template(self, step: Step) -> None:
        """Wait for the end of a deployment that an earlier run has begun, whichever it is."""
        self._deployment(step).wait_for_others()

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
        deployment, facts = self._deployment(step), step.parameters
        deployment.wait_for_others()  # which may change the settings, too
        values = {**facts["values"], "keptSettings": self._settings_of_others(step)}
        deployment.begin(facts["template"], values)

    def follow_resource(self, step: Step) -> None:
        """Wait until the deployment has made or changed one resource."""
        self._deployment(step).follow(step)

    def finish_template(self, step: Step) -> None:
        """Wait for the end of the deployment."""
        self._deployment(step).finish(step)

    def _settings_of_others(self, step: Step) -> dict[str, str]:
        app = self.names.app
        if self.clients.web.app(app) is None:
            return {}
        found, environment = self.clients.web.settings(app), step.parameters["environment"]
        ours = {*environment, *step.parameters["template"]["variables"]["settings"]}
        after = changed(found, setting_changes(found, environment))
        return {name: value for name, value in after.items() if name not in ours}

    def _deployment(self, step: Step) -> FollowedDeployment:
        from onnxferry.infra.clients.azure_deployments import Deployments

        deployments = Deployments(self.clients.session, self.names.group)
        return FollowedDeployment(deployments, step.parameters["deployment"], self.wait)
