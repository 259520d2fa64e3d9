"""One online endpoint of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import ClassVar

from onnxferry.infra.azureml import (
    az_files,
    capture,
    deletion,
    given_identity,
    kubernetes,
    listing,
    mirror,
    plan,
    quota,
    rollout,
)
from onnxferry.infra.azureml.assets import Assets, read_assets
from onnxferry.infra.azureml.batch import deletion as batch_deletion
from onnxferry.infra.azureml.batch import jobs as batch_jobs
from onnxferry.infra.azureml.batch.state import read_batch
from onnxferry.infra.azureml.desired import DesiredState, desired_state
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.operations import Operations
from onnxferry.infra.azureml.scaling import plan as scaling
from onnxferry.infra.azureml.scaling.settings import limits
from onnxferry.infra.azureml.scaling.template import autoscale_template
from onnxferry.infra.azureml.state import Clients, CurrentState, serving_endpoint
from onnxferry.infra.azureml.traffic import shadow_traffic
from onnxferry.infra.azureml.watching import Watching
from onnxferry.infra.clients import azureml_http
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.clients.azure_blobs import BlobLease
from onnxferry.infra.clients.azure_quota import AzureQuota
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed, TemplateFiles
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.costs import HOURLY
from onnxferry.infra.errors import CloudError, NotAllowed, Unavailable
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.log_feeds import LogPlace
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.shadow_traffic import Period, ShadowTraffic
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.rehearse import record
from onnxferry.system.console import Progress


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> AzureMLCloud:
    """The endpoint `name` in the workspace of `config`. Signs in at the first call."""
    settings = config.azureml
    if settings is None:
        raise CloudError("the configuration has no [azureml] table")
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = Names(settings.subscription, settings.resource_group, settings.workspace, name)
    return AzureMLCloud(Clients.of(session, names), names, settings, clock)


@dataclass(frozen=True)
class AzureMLCloud(Watching):
    """Implements infra.cloud.OnlineEndpoint. `wall` tells the time of a deployment."""

    clients: Clients
    names: Names
    settings: AzureML
    clock: Clock
    _operations: ClassVar[type[Operations]] = Operations
    wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    log_place: LogPlace = field(default_factory=LogPlace)

    def sign_in(self) -> None:
        """See Cloud."""
        self.clients.session.token()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        now = self.wall().isoformat(timespec="seconds")
        desired = self._desired(bundle, now)
        state = self._read(scaling=True)
        plan.check(state, desired.endpoint)
        kubernetes.check(state, desired.endpoint)
        kubernetes.check_cluster(self.clients, self.settings)
        given = given_identity.checked(self.clients, self.settings.identity)
        assets = read_assets(self.clients, self.names, desired.versions.items())
        steps = plan.deploy(state, desired, assets)
        rollout.refuse_unreadable(self.clients, state, steps)
        summary = self._summary(bundle, state, desired, steps)
        return self._plan("deploy", steps, replace(summary, notes=(*given, *summary.notes)), state)

    def _summary(
        self, bundle: Bundle, state: CurrentState, desired: DesiredState, steps: Sequence[Step]
    ) -> Summary:
        """What is said of the `steps` that deploy what is `desired`."""
        count = plan.instances(state, desired)
        replaces = state.version(state.before or state.serving)
        on = f"{count} x {self.settings.serving.instance_type}"
        will, waits = bundle.version, rollout.minutes(steps)
        if mirror.is_wanted(state, desired):
            will, on = replaces, mirror.running(state)
            count += state.ours[state.serving].instances
        summary = Summary(_place(state), will, replaces, on, minutes=(8 + waits, 20 + waits))
        summary = replace(summary, region=state.location, count=count)
        notes = (*plan.notes(state, desired), *scaling.shown(state, desired))
        notes += (*mirror.notes(state, desired), *capture.notes(self.names, self.settings))
        notes += (*kubernetes.notes(state, self.settings), *rollout.notes(desired, steps))
        on_cluster = self.settings.serving.mode == "kubernetes"
        costs = {"deployment": kubernetes.COST} if on_cluster else {}
        costs |= {} if "conda_file" in desired.environment else {"environment": ""}  # none is built
        summary = replace(summary, notes=notes, costs=costs)
        return summary if on_cluster else self._with_quota(summary, state, desired, steps)

    @property
    def kinds_of_files(self) -> Collection[str]:
        """See TemplatedInFiles."""
        return (az_files.KIND,)

    def template_files(self, bundle: Bundle, kind: str, folder: Path) -> TemplateFiles:
        """See TemplatedInFiles."""
        desired, measured = self._desired(bundle, ""), record.of(bundle.package)
        named = (self.names.endpoint, desired.deployment)
        scaled = autoscale_template(self.settings, measured, *named)
        return az_files.az_files(self.names, desired, bundle.golden, folder, scaled)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read(scaling=True)
        steps = scaling.detached(state, plan.rollback(state))
        target = plan.to_go_back_to(state)
        replaces = state.version(state.coming or state.serving)
        notes = (*plan.left_notes(state), *scaling.fewer(state, target))
        summary = Summary(_place(state), state.version(target), replaces, minutes=(1, 3))
        summary = replace(summary, notes=notes)
        return self._plan("roll back", steps, summary, state)

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read(scaling=True)
        batch = read_batch(self.clients, self.names, online=state)
        first = batch_deletion.first(batch)
        state = batch_deletion.without(state, first)
        steps = deletion.delete(state, read_assets(self.clients, self.names))
        notes = (*deletion.stays(state), *capture.kept(state))
        summary = Summary(_place(state), minutes=(2, 10), notes=notes)
        steps = (*first, *batch_deletion.last(batch), *steps)
        return self._plan("delete", steps, summary, state)

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read(scaling=True)
        steps = deletion.delete_unproved(state, read_assets(self.clients, self.names))
        return self._plan("delete", steps, Summary(_place(state), minutes=(2, 10)), state)

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
        state, unread = self._read(scaling=True), ""
        try:
            assets = read_assets(self.clients, self.names)
        except (NotAllowed, Unavailable) as e:  # such as the storage of a private network
            assets, unread = Assets(), f"not readable: {e}"
        found = _status(state, assets, unread)
        batch = batch_jobs.shown(self.clients, state)
        return replace(found, resources=(*found.resources, *batch))

    def shadow_traffic(self, since: datetime | None, limit: int) -> ShadowTraffic:
        """See Shadowed."""
        return shadow_traffic(self.clients, self._read(), Period(since, self.wall(), limit))

    def _desired(self, bundle: Bundle, deployed: str) -> DesiredState:
        return desired_state(bundle, self.settings, deployed)

    def _plan(
        self, purpose: str, steps: Sequence[Step], summary: Summary, state: CurrentState
    ) -> Plan:
        noted = replace(summary, notes=(*summary.notes, *scaling.unread(state)))
        return Plan("azureml", purpose, self.names.endpoint, tuple(steps), noted)

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
    if state.coming:
        share = state.traffic[state.coming]
        details["rolling out"] = f"{state.version(state.coming)} at {share} %, not ended"
    url, shown = (endpoint.url, endpoint.state) if endpoint else ("", shown)
    live, earlier = state.version(state.serving), state.version(plan.to_go_back_to(state))
    details |= {"shadow": said} if (said := mirror.told(state)) else {}
    found = tuple(_resources(state, assets, unread))
    return EndpointStatus("azureml", names.endpoint, shown, url, live, earlier, found, details)


def _resources(state: CurrentState, assets: Assets, unread: str) -> list[tuple[str, str, str]]:
    copies = dict.fromkeys(state.mirrored, f"gets a copy of traffic, {HOURLY}")
    roles = {state.previous: "previous", **copies, **dict.fromkeys(state.traffic, "serves")}
    if state.coming:
        roles |= {state.coming: f"rolling out, not proved, {HOURLY}"}
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
    found += [("autoscale settings", names.group, text) for text in scaling.unread(state)]
    found += [(kind, names.asset(v), "registered") for kind, v in sorted(assets.versions)]
    files = unread or (f"{len(assets.file_names)} files" if assets.files else "")
    return [*found, *([("files", names.folder, files)] if files else [])]
