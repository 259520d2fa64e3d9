"""One registered model in a registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_places import place
from onnxferry.infra.clients.mlflow_types import Version
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.mlflow import deletion, listing, plan
from onnxferry.infra.mlflow.asking import LocalModel
from onnxferry.infra.mlflow.console import model_page
from onnxferry.infra.mlflow.desired import desired_state
from onnxferry.infra.mlflow.lease_store import RegisteredLease
from onnxferry.infra.mlflow.names import DEPLOYED, Names
from onnxferry.infra.mlflow.operations import Operations
from onnxferry.infra.mlflow.smoke import Ask, SmokeTest
from onnxferry.infra.mlflow.state import CurrentState, read_state
from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.target_tables import MLflow
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.console import Progress
from onnxferry.system.exits import program


def connect(config: DeployConfig, name: str, ask: Ask | None = None) -> MlflowCloud:
    """The registered model `name` at the server of `config`. Connects at the first call."""
    settings = config.mlflow
    if settings is None:
        raise CloudError("the configuration has no [mlflow] table")
    given = (settings.tracking_uri or "", settings.registry_uri or "")
    where = place(*given, settings.artifact_location or "", os.environ)
    names = Names(name, settings.experiment, settings.catalog_schema or "")
    return MlflowCloud(MlflowServer(where), names, settings, ask)


@dataclass(frozen=True)
class MlflowCloud:
    """Implements infra.cloud.OnlineEndpoint. `ask` asks models, if not in a process of their own;
    `wall` tells the time of a deployment."""

    server: MlflowServer
    names: Names
    settings: MLflow
    ask: Ask | None = None
    wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    def sign_in(self) -> None:
        """See Cloud."""
        if self.server.place.there:
            self.server.check()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        now = self.wall().isoformat(timespec="seconds")
        state = self._read()
        planned = plan.deploy(state, desired_state(bundle, self.settings, now))
        replaces = state.version(state.champion)
        summary = Summary(self._place, bundle.version, replaces, minutes=(1, 3))
        return replace(planned, summary=summary)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        steps = plan.rollback(state)
        versions = state.version(state.previous), state.version(state.champion)
        return self._plan("roll back", steps, Summary(self._place, *versions, minutes=(1, 2)))

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        summary = Summary(self._place, notes=deletion.stays(state))
        return self._plan("delete", deletion.delete(state), summary)

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        steps = deletion.delete_unproved(self._read())
        return self._plan("delete", steps, Summary(self._place))

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        return {name for name in vars(Operations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        operations = Operations(self.server, self.names, self._smoke_test(), progress)
        getattr(operations, step.operation)(step)

    def lease_store(self) -> LeaseStore:
        """See Cloud."""
        return RegisteredLease(self.server, self.names)

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        return listing.listed(self.server, self.names)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint. The champion is fetched, and asked here: a registry runs nothing."""
        champion = self._champion(self._read())
        reply = self._smoke_test(timeout).invoke(champion, request)
        return replace(reply, served_by=f"{self.names.model}/{champion.number}")

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint."""
        return _status(self._read())

    def logs(self, lines: int) -> str:
        """See OnlineEndpoint. Raises NotFound: a registry runs nothing."""
        raise NotFound(
            f"{self.names.where}: a registry runs nothing, so it has no logs. They are where"
            f" {self.names.url} is loaded; what is registered: {program('status')}"
        )

    def console_url(self) -> str:
        """See HasConsole: the registered model's page. Raises UsageError for a registry without
        pages."""
        return model_page(self.server.place, self.names.model)

    @property
    def _place(self) -> str:
        return self.server.place.shown

    def _read(self) -> CurrentState:
        return read_state(self.server, self.names)

    def _plan(self, purpose: str, steps: Sequence[Step], summary: Summary) -> Plan:
        return Plan("mlflow", purpose, self.names.endpoint, tuple(steps), summary)

    def _smoke_test(self, timeout: float | None = None) -> SmokeTest:
        limit = timeout or self.settings.wait_minutes * 60
        ask = self.ask or LocalModel(self.settings.environment, limit)
        return SmokeTest(self.server, self.names, ask)

    def _champion(self, state: CurrentState) -> Version:
        if found := state.ours.get(state.champion):
            return found
        raise NotFound(f"{self.names.where}: no version of ours is champion; deploy one")


def _status(state: CurrentState) -> EndpointStatus:
    names, champion = state.names, state.ours.get(state.champion)
    half = bool(state.model or state.logged)
    details = {
        "server": state.place,
        "experiment": names.experiment,
        "champion": f"version {state.champion}" if state.champion else "",
        "deployed": champion.tags.get(DEPLOYED, "") if champion else "",
    }
    shown = champion.state if champion else "half-made" if half else "absent"
    live, earlier = state.version(state.champion), state.version(state.previous)
    found = tuple(_resources(state))
    url = names.url if champion else ""
    return EndpointStatus("mlflow", names.endpoint, shown, url, live, earlier, found, details)


def _resources(state: CurrentState) -> list[tuple[str, str, str]]:
    names, found = state.names, list[tuple[str, str, str]]()
    if state.model:
        whose = "registered" if state.is_ours else "not onnxferry's"
        found.append(("registered model", names.model, whose))
    for version in state.versions:
        facts = [version.state, *(a for a, n in state.aliases.items() if n == version.number)]
        facts += ["previous"] if version.number == state.previous else []
        facts += ["not proved"] if version in state.unproved else []
        facts += ["not onnxferry's"] if version.number in state.others else []
        found.append(("version", f"{names.model}/{version.number}", ", ".join(facts)))
    states = ((one, "stored" if one.ready else "unfinished") for one in state.logged)
    return [*found, *((one.kind, one.id, said) for one, said in states)]
