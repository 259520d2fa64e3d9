"""One endpoint at SageMaker, as the command line knows a cloud."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property, partial
from typing import ClassVar

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.errors import CloudError
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.plan_text import Report
from onnxferry.infra.sagemaker import (
    async_inference,
    deletion,
    execution_role,
    given_role,
    listing,
    plan,
    private_rights,
    scaling,
    serverless,
    shadow,
    state,
    storage,
)
from onnxferry.infra.sagemaker.async_requests import AsyncRequests, asked_otherwise
from onnxferry.infra.sagemaker.batch import jobs
from onnxferry.infra.sagemaker.checks import Checks
from onnxferry.infra.sagemaker.desired import DesiredState, desired
from onnxferry.infra.sagemaker.fleet import running
from onnxferry.infra.sagemaker.lease_store import S3LeaseStore
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.operations import Operations
from onnxferry.infra.sagemaker.owned import read_owned
from onnxferry.infra.sagemaker.resources import Resource, resources
from onnxferry.infra.sagemaker.rollout import Goal
from onnxferry.infra.sagemaker.shadow import ShadowTest
from onnxferry.infra.sagemaker.smoke import SmokeTest
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.sagemaker.templates import EndpointTemplate, owner, refuse_templated
from onnxferry.infra.sagemaker.traffic import shadow_traffic
from onnxferry.infra.sagemaker.watching import Watching
from onnxferry.infra.shadow_traffic import Period, ShadowTraffic
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package import Package
from onnxferry.system.console import Progress


@dataclass(frozen=True)
class SageMakerCloud(Watching):
    """See infra.cloud.OnlineEndpoint."""

    clients: AwsClients
    settings: SageMaker
    endpoint: str
    clock: Clock
    _operations: ClassVar[type[Operations]] = Operations
    today: Callable[[], datetime] = lambda: datetime.now(timezone.utc)

    @cached_property
    def names(self) -> Names:
        """Asks once which account is signed in, and what time it is."""
        signed_in = (self.clients.region, self.clients.account, self.clients.partition)
        now = self.today().isoformat(timespec="seconds")
        return Names(self.endpoint, *signed_in, self.settings, now)

    def sign_in(self) -> None:
        """See Cloud."""
        _ = self.names

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        key = "" if self.settings.role else storage.encryption_key(self.clients, self.names)
        wanted, there = desired(self.names, bundle, key), self._own("deploy")
        found = state.read_prerequisites(self.clients, self.names, wanted)
        given_role.check(self.clients, self.settings.role)
        private = tuple(private_rights.notes(self.settings))
        checks, beside = Checks(self.clients, there), self._shadow(there, wanted)
        stays = plan.kept(there, wanted.config["EndpointConfigName"], beside)
        used = checks.used(*plan.unused(there, stays))
        planned = plan.deploy(there, wanted, found, used, beside)
        goal = plan.goal_of(wanted, beside)
        planned = checks.checked(planned, goal.variant)
        if beside is None:
            planned = checks.guarded(planned, goal.variant, wanted.watched)
        fits = serverless.checked(planned, self.names, bundle.package)
        variants = (beside or wanted).config["ProductionVariants"]
        change = scaling.change(self.clients, there, variants)
        return self._noted(scaling.deployed(fits, change, bundle.package), *private)

    def _shadow(self, there: CurrentState, wanted: DesiredState) -> ShadowTest | None:
        """What is wanted as a shadow beside what serves; None where it is to serve."""
        if there.main is None or not shadow.is_wanted(there, wanted):
            return None
        url, _ = state.served(self.clients, there.main.config)
        return shadow.shadow_test(there, wanted, url)

    def plan_rollback(self) -> Plan:
        """Reads the golden request too: it must be there before anything is switched."""
        there = self._own("rollback")
        config = plan.to_go_back_to(there)
        url, variant = state.served(self.clients, config)
        self._smoke_test.golden(url)
        after = state.described_config(self.clients, config)["ProductionVariants"]
        change = scaling.change(self.clients, there, after)
        return self._noted(scaling.rolled_back(plan.rollback(there, url, variant), change))

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        there = self._own("delete")
        owned = read_owned(self.clients, there)
        policies = (
            execution_role.role_policies(self.clients, self.names) if owned.role else ((), ())
        )
        spare = storage.bucket_is_spare(self.clients, self.names, owned.packages)
        busy = self._busy()
        used = Checks(self.clients, there).users(there.configs, there.models, busy)
        planned = deletion.delete(there, owned, policies, used, bucket=spare)
        planned = replace(planned, steps=(*map(jobs.stopped, busy), *planned.steps))
        if not there.templated:
            planned = scaling.deleted(planned, self.clients, self.names)
        return self._noted(planned)

    def _busy(self) -> list[str]:
        """The batch jobs that are at work."""
        without = "batch jobs that are at work are not looked for"
        found = self.clients.if_allowed(lambda: jobs.running(self.clients, self.names), without)
        return [job.name for job in found or ()]

    def _noted(self, plan: Plan, *more: str) -> Plan:
        """`plan` with `more` notes, and with what was not read for want of a permission."""
        notes = (*plan.summary.notes, *more, *self.clients.notes)
        return replace(plan, summary=replace(plan.summary, notes=notes))

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        there = self._own("delete --unproved")
        owned = read_owned(self.clients, there)
        used = Checks(self.clients, there).users(*deletion.unproved(there))
        planned = deletion.delete_unproved(there, owned, used, self._without_shadow(there))
        return self._noted(scaling.deleted(planned, self.clients, self.names))

    def _without_shadow(self, there: CurrentState) -> Goal | None:
        """How the endpoint comes to what serves there alone; None where it has no shadow."""
        if not there.shadow:
            return None
        config = plan.to_go_back_to(there)
        return Goal(config, *state.served(self.clients, config))

    def template(self, package: Package, kind: str = "", *, over: bool = False) -> str:
        """See Templated."""
        return self._template.text(package, kind, over=over)

    def plan_template(self, package: Package) -> Plan:
        """See Templated."""
        return self._noted(self._template.plan(package))

    def plan_template_with(self, bundle: Bundle) -> Plan:
        """See TemplatedEndpoint."""
        return self._noted(self._template.plan_with(bundle))

    @property
    def _template(self) -> EndpointTemplate:
        limit, quiet = self.settings.wait_minutes * 60, lambda text: None
        waiting = partial(wait, limit=limit, progress=quiet, clock=self.clock)
        given = (self.clients, self.settings, self.endpoint, lambda: self.names)
        return EndpointTemplate(*given, waiting)

    def lease_store(self) -> LeaseStore:
        """See Cloud."""
        return S3LeaseStore(self.clients, self.names)

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        found = listing.listed(self.clients, self.names)
        for note in self.clients.notes:
            Report().note(note)
        return found

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        return {name for name in dir(self._operations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        limit = self.settings.wait_minutes * 60
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        operations = self._operations(self.clients, self.names, waiting, progress)
        getattr(operations, step.operation)(step)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        with asked_otherwise("it answers into S3 only: ask it with --async"):
            reply = self.clients.invoke(self.endpoint, request, timeout)
        return replace(reply, served_by=f"{reply.served_by} {self._version()}".strip())

    def _version(self) -> str:
        """The serving version; "" for a caller who may invoke the endpoint and not describe it."""
        try:
            found = state.endpoint(self.clients, self.endpoint)
        except CloudError:
            return ""
        return self.names.version_of(found.config) if found else ""

    def shadow_traffic(self, since: datetime | None, limit: int) -> ShadowTraffic:
        """See Shadowed."""
        period = Period(since, self.today(), limit)
        return shadow_traffic(self.clients, self.names, self._read(), period)

    def invoke_async(self, request: Request, timeout: float, source: str = "") -> Reply:
        """See AsyncEndpoint."""
        asking = replace(self.clock, interval=1.0)
        waiting = partial(wait, limit=timeout, progress=lambda text: None, clock=asking)
        about = (async_inference.own(self.names), self.names.mark(), waiting)
        requests = AsyncRequests(self.clients, self.endpoint, *about)
        with asked_otherwise("it answers at once: ask it without --async"):
            reply = requests.ask(source, request, timeout)
        return replace(reply, served_by=self._version())

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint."""
        there, names = self._read(), self.names
        main, beside = there.main, self._resources(there)
        absent = EndpointStatus(plan.TARGET, names.endpoint, "absent", resources=beside)
        if main is None:
            return absent
        details = {"region": names.region, "account": names.account, "configuration": main.config}
        if there.variant:
            details["instances"] = str(running(there.variant.alone, main.counts))
        if there.shadow and there.variant:
            details["shadow"] = shadow.told(names, there.variant, there.shadow, main.counts)
        if main.pending not in ("", main.config):
            details["on its way"] = main.pending
        if main.stage:
            details["under way"] = main.stage
        if main.reason:
            details["reason"] = main.reason
        if whose := owner(main.tags):
            details["template"] = whose
        if self.clients.notes:
            details["not known"] = "; ".join(self.clients.notes)
        url, previous = self.clients.url_of(names.endpoint), names.version_of(there.previous)
        serving = replace(absent, state=main.state, url=url, version=there.version)
        return replace(serving, previous=previous, details=details)

    def _resources(self, there: CurrentState) -> tuple[Resource, ...]:
        return tuple(resources(self.clients, there, self._busy()))

    @property
    def _smoke_test(self) -> SmokeTest:
        return SmokeTest(self.clients)

    def _own(self, purpose: str) -> CurrentState:
        """What is there, where no template has the endpoint."""
        there = self._read()
        refuse_templated(there, purpose)
        return there

    def _read(self) -> CurrentState:
        return state.read(self.clients, self.names)
