"""The template of one app: fresh, or over what is there, and the plan that deploys it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from onnxferry.infra.functions import plan
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.given import surroundings
from onnxferry.infra.functions.names import Names
from onnxferry.infra.functions.state import Clients, CurrentState, read_state
from onnxferry.infra.functions.template import (
    desired_by,
    nothing_there,
    template,
    unknown_surroundings,
)
from onnxferry.infra.functions.template_plan import kept_tags, template_plan, values
from onnxferry.infra.plan import Plan
from onnxferry.infra.target_tables import Functions
from onnxferry.infra.templates import deploying
from onnxferry.infra.templates.arm import Template
from onnxferry.infra.templates.deploying import Preview, deployment_name
from onnxferry.scripts.package import Package


@dataclass(frozen=True)
class AppTemplate:
    """For `package`, of which its Python and its model's size count, and which need not be there
    yet."""

    clients: Clients
    names: Names
    settings: Functions
    package: Package

    def fresh(self) -> Template:
        """For where nothing is; asks nothing."""
        around = unknown_surroundings(self.settings)
        desired = desired_by(self.settings, nothing_there(self.names), self.package, around)
        return template(desired, self.names, self.settings, {})

    def now(self) -> Template:
        """For where an app may be: with the tags that its resources keep."""
        state, desired = self._checked()
        return template(desired, self.names, self.settings, kept_tags(state, desired))

    def plan(self) -> Plan:
        """What deploying it would change, and the steps that do so."""
        state, desired = self._checked()
        user = None if self.names.given_account else self.clients.roles.signed_in()
        given, kept = values(self.names, user), kept_tags(state, desired)
        found = template(desired, self.names, self.settings, kept, user.id if user else "")
        preview = self._preview(found, given) if state.group else Preview()
        return template_plan(state, desired, found, given, preview)

    def _preview(self, found: Template, given: Mapping[str, Any]) -> Preview:
        from onnxferry.infra.clients.azure_deployments import Deployments

        deployments = Deployments(self.clients.session, self.names.group)
        return deploying.preview(deployments, deployment_name(self.names.app), found, given)

    def _checked(self) -> tuple[CurrentState, DesiredState]:
        """What is there and what shall be. Raises where that cannot be, as for `deploy`."""
        state = read_state(self.clients, self.names, settings=True)
        plan.check(state)
        if state.account is None:
            self.clients.storage.check_name(self.names.account)
        if state.main.app is None:
            self.clients.web.check_name(self.names.app)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        around = surroundings(self.clients, self.settings, now)
        desired = desired_by(self.settings, state, self.package, around)
        if desired.telemetry:
            plan.check_telemetry(state)
        return state, desired
