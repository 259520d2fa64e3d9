"""How a plan's deletions are executed. Each looks again, just before, whether what it deletes is
ours and unused still; where somebody has put it to use, it raises LeaseLost and leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.errors import LeaseLost, NotFound
from onnxferry.infra.functions.deletion import account_goes, left_in_group
from onnxferry.infra.functions.names import (
    PACKAGES,
    PREVIOUS,
    PUBLISHING,
    VERSION,
    Names,
    description,
)
from onnxferry.infra.functions.state import Clients, has_foreign, read_shared_resources, read_state
from onnxferry.infra.plan import Step
from onnxferry.system.console import Progress


@dataclass(frozen=True)
class Removals:
    """The deletions of one app's resources; `wait` waits for what they begin."""

    clients: Clients
    names: Names
    wait: Wait
    progress: Progress

    def delete_roles(self, step: Step) -> None:
        """Delete the roles that were given to an app."""
        roles, app = self.clients.roles, self.names.app_id(step.name)
        for scope in step.parameters["scopes"]:
            for assignment in roles.described(scope, description(step.name), app):
                roles.delete(assignment)

    def delete_app(self, step: Step) -> None:
        """Delete an app, unless another run has changed what it serves."""
        found = self.clients.web.app(step.name)
        if found is None:
            return
        if seen := step.parameters.get("seen"):
            self._refuse_changed(found, seen)
        if self._is_ours(found.tags, f"app {step.name}"):
            self.clients.web.delete_app(step.name)

    def delete_app_plan(self, step: Step) -> None:
        """Delete an app's plan."""
        self.clients.web.delete_app_plan(step.name)

    def delete_component(self, step: Step) -> None:
        """Delete the Application Insights component."""
        self.clients.insights.delete_component(step.parameters["id"])

    def delete_workspace(self, step: Step) -> None:
        """Delete the Log Analytics workspace."""
        self.clients.insights.delete_workspace(step.parameters["id"])

    def delete_container(self, step: Step) -> None:
        """Delete a container of the storage account, which has none but our blobs."""
        account = step.parameters["account"]
        found = self.clients.storage.container(account, step.name)
        if found is None:
            return
        if step.name == PACKAGES:
            if has_foreign(self.clients, read_state(self.clients, self.names)):
                raise LeaseLost(f"container {PACKAGES}: somebody has put something there; it stays")
        elif not self._is_ours(found, f"container {step.name}"):
            return
        self.clients.storage.delete_container(account, step.name)

    def delete_package(self, step: Step) -> None:
        """Delete a package from the storage account, unless an app has come to need it."""
        sha256, app = step.parameters["sha256"], self.clients.web.app(self.names.app)
        needed = [app.tags.get(name) for name in (VERSION, PREVIOUS, PUBLISHING)] if app else []
        if sha256 in needed:
            raise LeaseLost(f"package {step.name}: another run has put it to use; it stays")
        self._packages().delete(self.names.package(sha256))

    def delete_lease(self, step: Step) -> None:
        """Delete the lease's document, the last of the app's blobs."""
        self._packages().delete(self.names.lease)

    def delete_account(self, step: Step) -> None:
        """Delete the storage account, in which is nothing that is not ours."""
        state = read_state(self.clients, self.names)
        if state.account is None:
            return
        if state.packages is None:
            self._packages().list(self.names.folder)  # raises, and says who may not look
        if not account_goes(state, read_shared_resources(self.clients, state)):
            raise LeaseLost(f"storage account {step.name}: somebody has put something there")
        self.clients.storage.delete(step.name)

    def delete_group(self, step: Step) -> None:
        """Delete the resource group with all that is in it, which is ours."""
        there = self.clients.groups.resources(step.name)
        if new := left_in_group(there, step.parameters["resources"]):
            names = ", ".join(id_.rpartition("/")[2] for id_ in new)
            raise LeaseLost(f"resource group {step.name}: it has got {names}; it stays")
        begun = self.clients.groups.delete(step.name)
        self._finish(begun, f"resource group {step.name}")

    def _refuse_changed(self, app: FunctionApp, seen: Mapping[str, str], sha256: str = "") -> None:
        """Raise LeaseLost where the app's tags say other versions than were `seen`; `sha256` is
        what this run may have begun to publish."""
        version, publishing = (app.tags.get(name, "") for name in (VERSION, PUBLISHING))
        if version != seen[VERSION] or publishing not in ("", sha256, seen[PUBLISHING]):
            serves = publishing or version or "nothing"
            raise LeaseLost(
                f"app {app.name}: another run has changed it since the plan was made (it serves"
                f" {serves[:12]} now). It is left as it is: look, then run again"
            )

    def _is_ours(self, facts: Mapping[str, str], what: str) -> bool:
        """Whether `what` has our mark still; else it stays."""
        ours = self.names.marks(facts)
        if not ours:
            self.progress(f"{what} is no longer marked as made by onnxferry: it stays")
        return ours

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

    def _finish(self, poller: Any, what: str) -> None:
        """Wait for an operation of the resource manager."""
        with translated(what):
            self.wait(what, lambda: None if poller.done() else str(poller.status()))
            poller.result()
