"""One online endpoint of a workspace."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

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
from onnxferry.infra.clients import online
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.cloud import Bundle, EndpointStatus
from onnxferry.infra.config import AzureML, DeployConfig
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, Unavailable
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply
from onnxferry.system.console import Progress


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> AzureMLCloud:  # noqa: B008 - frozen
    """The endpoint `name` in the workspace of `config`. Signs in at the first call."""
    settings = config.azureml
    if settings is None:
        raise CloudError("the configuration has no [azureml] table")
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = Names(settings.subscription, settings.resource_group, settings.workspace, name)
    return AzureMLCloud(Clients.of(session, names), names, settings, clock)


@dataclass(frozen=True)
class AzureMLCloud:
    """See infra.cloud.OnlineEndpoint."""

    clients: Clients
    names: Names
    settings: AzureML
    clock: Clock

    def sign_in(self) -> None:
        """See infra.cloud.Cloud."""
        self.clients.session.token()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See infra.cloud.OnlineEndpoint."""
        state, desired = self._read(), desired_state(bundle, self.settings)
        plan.check(state, desired.auth_mode)
        registered = read_registered(self.clients, self.names, desired)
        return self._plan("deploy", plan.deploy(state, desired, registered))

    def plan_rollback(self) -> Plan:
        """See infra.cloud.OnlineEndpoint."""
        state = self._read()
        plan.check(state)
        return self._plan("roll back", plan.rollback(state))

    def plan_delete(self) -> Plan:
        """See infra.cloud.OnlineEndpoint."""
        return self._plan("delete", delete(self._read(), read_assets(self.clients, self.names)))

    def _plan(self, purpose: str, steps: tuple[Step, ...]) -> Plan:
        return Plan("azureml", purpose, self.names.endpoint, steps)

    @property
    def operations(self) -> Collection[str]:
        """See infra.cloud.Cloud."""
        return {name for name in vars(Operations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See infra.cloud.Cloud."""
        limit = self.settings.wait_minutes * 60
        operations = Operations(self.clients, self.names, limit, self.clock)
        getattr(operations, step.operation)(step, progress)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See infra.cloud.OnlineEndpoint."""
        endpoint = serving_endpoint(self.clients, self.names)
        return online.send(endpoint, self.clients.endpoints.bearer(endpoint), request, timeout)

    def status(self) -> EndpointStatus:
        """See infra.cloud.OnlineEndpoint."""
        state, unread = self._read(), ""
        try:
            assets = read_assets(self.clients, self.names)
        except (NotAllowed, Unavailable) as e:  # such as the storage of a private network
            assets, unread = Assets(), f"not readable: {e}"
        return _status(state, assets, unread)

    def logs(self, lines: int) -> str:
        """See infra.cloud.OnlineEndpoint."""
        serving, endpoint = self._read().serving, self.names.endpoint
        if not serving:
            raise NotFound(
                f"endpoint {endpoint} of workspace {self.names.workspace}: no deployment takes"
                " traffic, so none has logs to show; see deploy.py status"
            )
        return self.clients.endpoints.logs(endpoint, serving, lines, CONTAINERS[0])

    def _read(self) -> CurrentState:
        return read_state(self.clients, self.names)


def _status(state: CurrentState, assets: Assets, unread: str) -> EndpointStatus:
    names, endpoint = state.names, state.endpoint
    version, previous = (
        state.ours[name].tags.get(VERSION, "") if name in state.ours else ""
        for name in (state.serving, state.previous)
    )
    half_made = "half-made" if assets.versions or assets.files else "absent"
    return EndpointStatus(
        "azureml",
        names.endpoint,
        endpoint.state if endpoint else half_made,
        endpoint.url if endpoint else "",
        version,
        previous,
        tuple(_resources(state, assets, unread)),
        {
            "workspace": names.workspace,
            "region": state.location,
            "auth mode": endpoint.auth_mode if endpoint else "",
            "traffic": ", ".join(f"{name} {share} %" for name, share in state.traffic.items()),
        },
    )


def _resources(state: CurrentState, assets: Assets, unread: str) -> list[tuple[str, str, str]]:
    roles = {state.previous: "previous", state.serving: "serves"}
    found = [("endpoint", state.endpoint.name, state.endpoint.state)] if state.endpoint else []
    for d in state.deployments:
        role = roles.get(d.name, "idle") if d.name in state.ours else "not onnxferry's"
        found.append(
            ("deployment", d.name, f"{d.state}, {d.instances} x {d.instance_type}, {role}")
        )
    found += [(kind, state.names.asset(v), "registered") for kind, v in assets.versions]
    files = unread or (f"{len(assets.files)} files" if assets.files else "")
    return [*found, *([("files", state.names.folder, files)] if files else [])]
