"""One online endpoint of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import ClassVar

from onnxferry.infra.azureml import console, deletion, kubernetes, listing, plan, quota
from onnxferry.infra.azureml.assets import Assets, read_assets
from onnxferry.infra.azureml.desired import DesiredState, desired_state
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.operations import Operations
from onnxferry.infra.azureml.scaling import plan as scaling
from onnxferry.infra.azureml.scaling.settings import limits
from onnxferry.infra.azureml.smoke import CONTAINERS
from onnxferry.infra.azureml.state import Clients, CurrentState, read_state, serving_endpoint
from onnxferry.infra.clients import azureml_http
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.clients.azure_blobs import BlobLease
from onnxferry.infra.clients.azure_quota import AzureQuota
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.costs import HOURLY
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, Unavailable
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.log_feeds import Continued, Feed
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

_FOLLOWED = 1000  # lines that are compared with those before


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
    """Implements infra.cloud.OnlineEndpoint. `wall` tells the time of a deployment."""

    clients: Clients
    names: Names
    settings: AzureML
    clock: Clock
    _operations: ClassVar[type[Operations]] = Operations
    wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    def sign_in(self) -> None:
        """See Cloud."""
        self.clients.session.token()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        now = self.wall().isoformat(timespec="seconds")
        desired = self._desired(bundle, now)
        state = self._read()
        plan.check(state, desired.endpoint["auth_mode"])
        kubernetes.check(state, desired.endpoint)
        kubernetes.check_cluster(self.clients, self.settings)
        assets = read_assets(self.clients, self.names, desired.versions.items())
        steps = plan.deploy(state, desired, assets)
        count = plan.instances(state, desired)
        replaces = state.version(state.serving)
        on = f"{count} x {self.settings.serving.instance_type}"
        summary = Summary(_place(state), bundle.version, replaces, on, minutes=(8, 20))
        summary = replace(summary, region=state.location, count=count)
        notes = (*plan.notes(state, desired), *scaling.shown(state, desired))
        notes += kubernetes.notes(state, self.settings)
        if self.settings.serving.mode == "kubernetes":
            costs = {"deployment": kubernetes.COST}
            summary = replace(summary, notes=notes, costs=costs)
            return self._plan("deploy", steps, summary)
        summary = self._with_quota(replace(summary, notes=notes), state, desired, steps)
        return self._plan("deploy", steps, summary)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        steps = scaling.detached(state, plan.rollback(state))
        target, replaces = state.rolling or state.previous, state.version(state.serving)
        notes = scaling.fewer(state, target)
        summary = Summary(
            _place(state), state.version(target), replaces, minutes=(1, 3), notes=notes
        )
        return self._plan("roll back", steps, summary)

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        steps = deletion.delete(state, read_assets(self.clients, self.names))
        summary = Summary(_place(state), minutes=(2, 10), notes=deletion.stays(state))
        return self._plan("delete", steps, summary)

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        steps = deletion.delete_unproved(state, read_assets(self.clients, self.names))
        return self._plan("delete", steps, Summary(_place(state), minutes=(2, 10)))

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        return {name for name in dir(self._operations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        limit = self.settings.wait_minutes * 60
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        operations = self._operations(self.clients, self.names, waiting, self.clock, progress)
        getattr(operations, step.operation)(step)

    def lease_store(self) -> LeaseStore:
        """See Cloud."""
        return BlobLease(self.clients.workspace.blobs(), self.names.lease)

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        return listing.listed(self.clients, self.names)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        endpoint = serving_endpoint(self.clients, self.names)
        bearer = self.clients.endpoints.bearer(endpoint)
        return azureml_http.send(endpoint.url, bearer, request, timeout)

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
        return self._printed(self._serving(), lines)

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed. Raises UsageError for `since`: what containers print has no times."""
        if since:
            raise UsageError("--since: AzureML keeps no times of what containers print; --lines N")
        serving = self._serving()
        most = max(lines, _FOLLOWED)
        return Continued(lambda: self._printed(serving, most).splitlines(), lines)

    def console_url(self) -> str:
        """See HasConsole."""
        names, where = self.names, self.clients.session.where
        return console.endpoint_page(where, names.workspace_id, names.endpoint)

    def _printed(self, deployment: str, lines: int) -> str:
        named = (self.names.endpoint, deployment)
        return self.clients.endpoints.logs(*named, lines, CONTAINERS[0])

    def _serving(self) -> str:
        """The deployment that takes traffic. Raises NotFound."""
        serving = self._read().serving
        if not serving:
            said = f"no deployment takes traffic, so there are no logs; see {program('status')}"
            raise NotFound(f"{self.names.where}: {said}")
        return serving

    def _desired(self, bundle: Bundle, deployed: str) -> DesiredState:
        return desired_state(bundle, self.settings, deployed)

    def _read(self) -> CurrentState:
        return read_state(self.clients, self.names)

    def _plan(self, purpose: str, steps: Sequence[Step], summary: Summary) -> Plan:
        return Plan("azureml", purpose, self.names.endpoint, tuple(steps), summary)

    def _with_quota(
        self, summary: Summary, state: CurrentState, desired: DesiredState, steps: Sequence[Step]
    ) -> Summary:
        """`summary` with what runs at most, where `steps` make it, and whether the quota suffices
        for that, and for what autoscaling may come to."""
        made = [s.operation for s in steps if s.action is Action.CREATE]
        created, scaled = "create_deployment" in made, quota.reach(state, desired)
        if not created and not (scaled and "put_autoscale" in made):
            return summary
        azure = AzureQuota(self.clients.session, state.location)
        need = quota.need(state, desired) if created else None
        shortage, notes = quota.asked(azure, need, scaled)
        peak = quota.peak(state, desired) if created else ""
        return replace(summary, peak=peak, shortage=shortage, notes=(*summary.notes, *notes))


def _place(state: CurrentState) -> str:
    return f"workspace {state.names.workspace}, {state.location}"


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
    live, earlier = state.version(state.serving), state.version(state.previous)
    found = tuple(_resources(state, assets, unread))
    return EndpointStatus("azureml", names.endpoint, shown, url, live, earlier, found, details)


def _resources(state: CurrentState, assets: Assets, unread: str) -> list[tuple[str, str, str]]:
    roles = {state.previous: "previous", **dict.fromkeys(state.mirrored, "gets a copy of traffic")}
    roles |= {**dict.fromkeys(state.traffic, "serves")}
    names, found = state.names, list[tuple[str, str, str]]()
    on_cluster = state.endpoint is not None and bool(state.endpoint.compute)
    unproved = f"not proved, {kubernetes.COST if on_cluster else HOURLY}"
    if state.endpoint:
        whose = "" if state.is_ours else ", not onnxferry's"
        found.append(("endpoint", names.endpoint, state.endpoint.state + whose))
    for d in state.deployments:
        role = roles.get(d.name, unproved)
        role = role if d.name in state.ours else "not onnxferry's"
        text = f"{d.state}, {d.instances} x {d.instance_type}, {role}"
        found.append(("deployment", d.name, text))
    for one in state.scaling.settings:
        said = limits(one.properties) if one.ours else "not onnxferry's"
        found.append(("autoscale setting", one.name, f"{said}; of deployment {one.deployment}"))
    found += [(kind, names.asset(v), "registered") for kind, v in sorted(assets.versions)]
    files = unread or (f"{len(assets.file_names)} files" if assets.files else "")
    return [*found, *([("files", names.folder, files)] if files else [])]
