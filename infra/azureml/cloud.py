"""One online endpoint of a workspace."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from onnxferry.infra.azureml import plan
from onnxferry.infra.azureml.deletion import delete
from onnxferry.infra.azureml.desired import desired_state
from onnxferry.infra.azureml.names import VERSION, Names
from onnxferry.infra.azureml.operations import Operations
from onnxferry.infra.azureml.smoke import CONTAINERS
from onnxferry.infra.azureml.state import (
    Assets,
    Clients,
    CurrentState,
    read_assets,
    read_registered,
    read_state,
    serving_endpoint,
)
from onnxferry.infra.clients import azureml_http
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.config import AzureML, DeployConfig
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, Unavailable
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.console import Progress
from onnxferry.system.exits import program


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> AzureMLCloud:
    """The endpoint `name` in the workspace of `config`. Signs in at the first call."""
    settings = config.azureml
    if settings is None:
        raise CloudError("the configuration has no [azureml] table")
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = Names(settings.subscription, settings.resource_group, settings.workspace, name)
    return AzureMLCloud(Clients.of(session, names), names, settings, clock)


@dataclass(frozen=True)
class AzureMLCloud:
    """Implements infra.cloud.OnlineEndpoint."""

    clients: Clients
    names: Names
    settings: AzureML
    clock: Clock

    def sign_in(self) -> None:
        """See Cloud."""
        self.clients.session.token()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        state, desired = self._read(), desired_state(bundle, self.settings)
        plan.check(state, desired.auth_mode)
        steps = plan.deploy(state, desired, read_registered(self.clients, self.names, desired))
        instances = f"{self.settings.instance_count} x {self.settings.instance_type}"
        place, replaces = _place(state), _version(state, state.serving)
        summary = Summary(place, bundle.version, replaces, instances, minutes=(8, 20))
        return Plan("azureml", "deploy", self.names.endpoint, steps, summary)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check(state)
        target, replaces = state.rolling or state.previous, _version(state, state.serving)
        summary = Summary(_place(state), _version(state, target), replaces, minutes=(1, 3))
        return Plan("azureml", "roll back", self.names.endpoint, plan.rollback(state), summary)

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        steps = delete(state, read_assets(self.clients, self.names))
        summary = Summary(_place(state), minutes=(2, 10))
        return Plan("azureml", "delete", self.names.endpoint, steps, summary)

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        raise NotImplementedError

    def lease_store(self) -> LeaseStore:
        """See Cloud."""
        raise NotFound("no lease yet")

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        raise NotImplementedError

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        return {name for name in vars(Operations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        limit = self.settings.wait_minutes * 60
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        operations = Operations(self.clients, self.names, waiting, self.clock, progress)
        getattr(operations, step.operation)(step)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        endpoint = serving_endpoint(self.clients, self.names)
        return azureml_http.send(
            endpoint.url, self.clients.endpoints.bearer(endpoint), request, timeout
        )

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint."""
        state, unread = self._read(), ""
        try:
            assets = read_assets(self.clients, self.names)
        except (NotAllowed, Unavailable) as e:  # such as the storage of a private network
            assets, unread = Assets(), f"not readable: {e}"
        return _status(state, assets, unread)

    def logs(self, lines: int) -> str:
        """See OnlineEndpoint."""
        serving = self._read().serving
        if not serving:
            said = f"no deployment takes traffic, so there are no logs; see {program('status')}"
            raise NotFound(f"{self.names.where}: {said}")
        return self.clients.endpoints.logs(self.names.endpoint, serving, lines, CONTAINERS[0])

    def _read(self) -> CurrentState:
        return read_state(self.clients, self.names)


def _place(state: CurrentState) -> str:
    return f"workspace {state.names.workspace}, {state.location}"


def _version(state: CurrentState, deployment: str) -> str:
    found = state.ours.get(deployment)
    return found.tags.get(VERSION, "") if found else ""


def _status(state: CurrentState, assets: Assets, unread: str) -> EndpointStatus:
    names, endpoint = state.names, state.endpoint
    shown = "half-made" if assets.versions or assets.files else "absent"
    details = {
        "workspace": names.workspace,
        "region": state.location,
        "auth mode": endpoint.auth_mode if endpoint else "",
        "traffic": ", ".join(f"{name} {share} %" for name, share in state.traffic.items()),
    }
    url, shown = (endpoint.url, endpoint.state) if endpoint else ("", shown)
    live, earlier = _version(state, state.serving), _version(state, state.previous)
    found = tuple(_resources(state, assets, unread))
    return EndpointStatus("azureml", names.endpoint, shown, url, live, earlier, found, details)


def _resources(state: CurrentState, assets: Assets, unread: str) -> list[tuple[str, str, str]]:
    roles = {state.previous: "previous", state.serving: "serves"}
    found = [("endpoint", state.endpoint.name, state.endpoint.state)] if state.endpoint else []
    for d in state.deployments:
        role = roles.get(d.name, "idle") if d.name in state.ours else "not onnxferry's"
        text = f"{d.state}, {d.instances} x {d.instance_type}, {role}"
        found.append(("deployment", d.name, text))
    found += [(kind, state.names.asset(v), "registered") for kind, v in assets.versions]
    files = unread or (f"{len(assets.files)} files" if assets.files else "")
    return [*found, *([("files", state.names.folder, files)] if files else [])]
