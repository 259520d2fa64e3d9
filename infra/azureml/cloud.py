"""One online endpoint: plan, execute, ask, tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.infra.azureml import plan
from onnxferry.infra.azureml.deletion import delete
from onnxferry.infra.azureml.desired import DesiredState, desired_state
from onnxferry.infra.azureml.names import VERSION, Names
from onnxferry.infra.azureml.operations import Operations
from onnxferry.infra.azureml.smoke import CONTAINERS
from onnxferry.infra.azureml.state import Assets, Clients, CurrentState, assets, read, serving
from onnxferry.infra.clients import azure, online
from onnxferry.infra.cloud import Bundle, Reply, Status
from onnxferry.infra.config import AzureML, DeployConfig
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, Unavailable
from onnxferry.infra.plan import Operation, Plan
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request

_TARGET = "azureml"


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> AzureMLCloud:  # noqa: B008 - frozen
    """The endpoint `name` in the workspace of `config`. Signs in at the first call."""
    settings = config.azureml
    if settings is None:
        raise CloudError("the configuration has no [azureml] table")
    session = azure.session(settings.subscription, settings.tenant)
    names = Names(settings.subscription, settings.resource_group, settings.workspace, name)
    return AzureMLCloud(Clients.open(session, names), names, settings, clock)


@dataclass(frozen=True)
class AzureMLCloud:
    """See infra.cloud.Cloud."""

    clients: Clients
    names: Names
    settings: AzureML
    clock: Clock

    def sign_in(self) -> None:
        self.clients.session.sign_in()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        live, want = self._read(), desired_state(bundle, self.settings)
        plan.check(live, want.auth_mode)
        return Plan(
            _TARGET, "deploy", self.names.endpoint, plan.deploy(live, want, self._registered(want))
        )

    def plan_rollback(self) -> Plan:
        live = self._read()
        plan.check(live)
        return Plan(_TARGET, "roll back", self.names.endpoint, plan.rollback(live))

    def plan_delete(self) -> Plan:
        return Plan(
            _TARGET,
            "delete",
            self.names.endpoint,
            delete(self._read(), assets(self.clients, self.names)),
        )

    def operations(self, bundle: Bundle | None = None) -> Mapping[str, Operation]:
        return Operations(
            self.clients, self.names, self.settings.wait_minutes * 60, self.clock, bundle
        ).table()

    def invoke(self, request: Request, timeout: float) -> Reply:
        endpoint = serving(self.clients, self.names)
        return online.send(endpoint, self.clients.workspace.bearer(endpoint), request, timeout)

    def status(self) -> Status:
        live = self._read()
        endpoint, ours = live.endpoint, live.ours
        try:
            made, unread = assets(self.clients, self.names), ""
        except (NotAllowed, Unavailable) as e:  # such as the storage of a private network
            made, unread = Assets(), str(e)
        there = bool(made.rows() or made.files)
        details = {
            "workspace": self.names.workspace,
            "region": live.location,
            "auth mode": "",
            "traffic": "",
        }
        if endpoint:
            shares = ", ".join(f"{name} {share} %" for name, share in endpoint.traffic.items())
            details |= {"auth mode": endpoint.auth_mode, "traffic": shares}
        state = endpoint.state if endpoint else "half-made" if there else "absent"
        version, previous = (
            ours[name].tags.get(VERSION, "") if name in ours else ""
            for name in (live.serving, live.previous)
        )
        url = endpoint.url if endpoint else ""
        resources = (
            *_resources(live, made),
            *([("files", self.names.folder, f"not readable: {unread}")] if unread else []),
        )
        return Status(
            _TARGET, self.names.endpoint, state, url, version, previous, resources, details
        )

    def logs(self, lines: int) -> str:
        live = self._read()
        if not live.serving:
            raise NotFound(
                f"endpoint {self.names.endpoint} of workspace {self.names.workspace}: no deployment"
                " takes traffic, so none has logs to show; see deploy.py status"
            )
        return self.clients.workspace.logs(self.names.endpoint, live.serving, lines, CONTAINERS[0])

    def _read(self) -> CurrentState:
        return read(self.clients, self.names)

    def _registered(self, want: DesiredState) -> plan.Registered:
        ids = {kind: self.names.id(kind, version) for kind, version in want.versions.items()}
        there = {kind: self.clients.resources.get(id_) is not None for kind, id_ in ids.items()}
        return plan.Registered(there, self.clients.workspace.datastore())


def _resources(live: CurrentState, made: Assets) -> list[tuple[str, str, str]]:
    found = [("endpoint", live.endpoint.name, live.endpoint.state)] if live.endpoint else []
    for d in live.deployments:
        role = (
            "serves"
            if d.name == live.serving
            else "previous"
            if d.name == live.previous
            else "idle"
        )
        whose = role if d.name in live.ours else "not onnxferry's"
        found.append(
            ("deployment", d.name, f"{d.state}, {d.instances} x {d.instance_type}, {whose}")
        )
    found += [
        (kind, f"{live.names.endpoint}:{version}", "registered") for kind, version in made.rows()
    ]
    return [
        *found,
        *([("files", live.names.folder, f"{len(made.files)} files")] if made.files else []),
    ]
