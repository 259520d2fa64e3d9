"""One function app, with its candidate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxferry.infra.access_keys import Access
from onnxferry.infra.clients import function_host
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.clients.azure_blobs import BlobLease
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.costs import cost
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.functions import console, keys, plan, sign_in
from onnxferry.infra.functions.callers import shown, shown_by_callers
from onnxferry.infra.functions.deletion import delete, delete_unproved
from onnxferry.infra.functions.desired import DesiredState, desired_state
from onnxferry.infra.functions.given import surroundings
from onnxferry.infra.functions.listing import listed
from onnxferry.infra.functions.names import MADE, PACKAGES, VERSION, Names, container
from onnxferry.infra.functions.notes import facts, notes
from onnxferry.infra.functions.operations import Operations
from onnxferry.infra.functions.prerequisites import access, foundation
from onnxferry.infra.functions.printed_log import PrintedLog
from onnxferry.infra.functions.smoke import publication_log
from onnxferry.infra.functions.state import Clients, CurrentState, read_shared_resources, read_state
from onnxferry.infra.functions.templates import AppTemplate
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.log_feeds import Feed
from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.target_tables import Functions
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package import Package
from onnxferry.system.console import Progress

_UNREAD = "stored packages were not read: the role Storage Blob Data Contributor is missing"
_NO_QUOTA = "Azure has no call for the quota of Flex Consumption"


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> FunctionsCloud:
    """The app `name` in the subscription and resource group of `config`. Signs in at the first
    call."""
    settings = config.functions
    if settings is None:
        raise CloudError("the configuration has no [functions] table")
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = Names(settings.subscription, settings.resource_group, name, settings.storage_account)
    return FunctionsCloud(Clients.of(session, names), names, settings, clock)


@dataclass(frozen=True)
class FunctionsCloud:
    """Implements infra.cloud.OnlineEndpoint."""

    clients: Clients
    names: Names
    settings: Functions
    clock: Clock

    def sign_in(self) -> None:
        """See Cloud."""
        self.clients.session.token()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        state = read_state(self.clients, self.names, settings=True)
        plan.check(state)
        if state.account is None:
            self.clients.storage.check_name(self.names.account)
        for app in (state.main, state.candidate):
            if app.app is None:
                self.clients.web.check_name(app.name)
        around = surroundings(self.clients, self.settings, _now())
        desired = desired_state(bundle, self.settings, state, around)
        if desired.telemetry:
            plan.check_telemetry(state)
        steps, first = plan.deploy(state, desired), len(foundation(state, desired))
        summary = self._summary(state, bundle, desired)
        return Plan("functions", "deploy", self.names.app, steps, summary, first)

    def template(self, package: Package, kind: str = "", *, over: bool = False) -> str:
        """See Templated."""
        return self._template(package).now().text if over else self._template(package).fresh().text

    def plan_template(self, package: Package) -> Plan:
        """See Templated."""
        return self._template(package).plan()

    def _template(self, package: Package) -> AppTemplate:
        return AppTemplate(self.clients, self.names, self.settings, package)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check(state)
        steps, first = plan.rollback(state, _now()), len(access(state))
        target, replaces = steps[first].name, state.main.version[:12]
        summary = Summary(self._place(), target, replaces, minutes=(1, 4))
        return Plan("functions", "roll back", self.names.app, steps, summary, first)

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check_ours(state)
        first = self._access(state)
        steps = (*first, *delete(state, read_shared_resources(self.clients, state)))
        summary = Summary(self._place(), minutes=(1, 5))
        return Plan("functions", "delete", self.names.app, steps, summary, len(first))

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check_ours(state)
        steps = delete_unproved(state)
        first = self._access(state) if steps else ()
        summary = Summary(self._place(), minutes=(1, 5))
        steps = (*first, *steps)
        return Plan("functions", "delete", self.names.app, steps, summary, len(first))

    def lease_store(self) -> LeaseStore:
        """See Cloud."""
        account = self.clients.storage.get(self.names.account)
        if account is None:
            raise NotFound(f"storage account {self.names.account}: there is none")
        return BlobLease(self.clients.packages(account), self.names.lease)

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        return listed(self.clients.groups.resources_tagged(MADE))

    def _access(self, state: CurrentState) -> tuple[Step, ...]:
        return tuple(access(state)) if PACKAGES in state.containers else ()

    def _summary(self, state: CurrentState, bundle: Bundle, desired: DesiredState) -> Summary:
        mine, replaces = self.settings, state.main.version[:12]
        size = f"instances of {mine.instance_memory_mb} MB"
        peak = f"{self._instances()}, and one for the candidate" if replaces else ""
        return Summary(
            self._place(),
            bundle.version,
            replaces,
            self._instances(),
            minutes=(2, 8),
            peak=peak,
            notes=(
                *notes(self.settings, desired),
                f"how many {size} the region's quota allows was not asked: {_NO_QUOTA}",
                *([_UNREAD] if state.packages is None else []),
            ),
            region=mine.location,
        )

    def _place(self) -> str:
        return f"resource group {self.names.group}, {self.settings.location}"

    def _instances(self) -> str:
        mine = self.settings
        return f"at most {mine.maximum_instance_count} instances of {mine.instance_memory_mb} MB"

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        public = (name for name in dir(Operations) if not name.startswith("_"))
        return {name for name in public if callable(getattr(Operations, name))}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        limit, folder = self.settings.wait_minutes * 60, Path(self._folder.name)
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        operations = Operations(self.clients, self.names, waiting, progress, folder, self.clock)
        getattr(operations, step.operation)(step)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        app = self._serving()
        known, served_by = shown_by_callers(self.clients, app), app.tags.get(VERSION, "")[:12]
        return function_host.send(app.host, known, request, timeout, served_by)

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint."""
        state, asked = self._read(), dict[str, Any]()
        if state.main.app:
            asked = self.clients.web.sign_in(state.main.name)
        return _status(state, sign_in.audience(asked))

    def logs(self, lines: int) -> str:
        """The last `lines` of how the latest package was published, what the functions of both
        apps printed, and what the Functions host says of itself."""
        app = self._serving()
        log = [*publication_log(self.clients, app).splitlines(), *self._printed.last(lines)]
        try:
            state = function_host.host_state(app.host, shown(self.clients, app, master=True))
        except CloudError as e:
            state = f"not up ({e})"
        return "\n".join([*log, f"host: {state}"][-lines:])

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed: what the functions of both apps printed, some minutes later. Raises
        NotFound where that is not kept."""
        return self._printed.feed(lines, since)

    def console_url(self) -> str:
        """See HasConsole."""
        where = self.clients.session.where
        return console.resource_page(where, self.names.app_id(self.names.app))

    def access(self) -> Access:
        """See HasKeys."""
        return keys.access(self.clients, self._serving())

    def plan_rotate(self, kind: str) -> Plan:
        """See HasKeys."""
        plan.check_ours(self._read())
        app = self._serving()
        steps = keys.rotate(app, keys.access(self.clients, app), kind)
        summary = keys.summary(self._place(), steps, kind)
        return Plan("functions", "re-key", self.names.app, steps, summary)

    @property
    def _printed(self) -> PrintedLog:
        return PrintedLog(self.clients, self.names)

    def _read(self) -> CurrentState:
        return read_state(self.clients, self.names)

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="onnxferry-")

    def _serving(self) -> FunctionApp:
        app = self.clients.web.app(self.names.app)
        if app is None:
            raise NotFound(
                f"Azure Functions app {self.names.app}: resource group {self.names.group} has none"
                " of that name; check name, group and subscription in deploy.toml, or deploy it"
                " first"
            )
        return app


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _status(state: CurrentState, audience: str) -> EndpointStatus:
    main, app, details = state.main, state.main.app, dict[str, Any]()
    if main.publishing:
        details["publishing"] = main.publishing[:12]
    if app:
        details |= {"python": main.python, **facts(app, audience)}
    if state.packages is None:
        details["not known"] = _UNREAD
    half_made = "half-made" if state.exists else "absent"
    return EndpointStatus(
        "functions",
        main.name,
        app.state if app else half_made,
        function_host.score_url(app.host) if app and app.host else "",
        main.version[:12],
        main.previous[:12],
        tuple(_resources(state)),
        details,
    )


def _resources(state: CurrentState) -> list[tuple[str, str, str]]:
    shared = (
        ("resource group", state.group),
        ("storage account", state.account),
        ("Log Analytics workspace", state.workspace),
        ("Application Insights", state.component),
    )
    found = [(kind, x.name, x.state) for kind, x in shared if x and state.exists]
    for app in (state.main, state.candidate):
        unproved = "" if app.version else f", not proved, {cost('functions', 'app')}"
        own = (("app", app.app, unproved), ("plan", app.plan, ""))
        found += [(kind, x.name, f"{x.state}{more}") for kind, x, more in own if x]
        there = app.container is not None
        found += [("container", container(app.name), "made")] if there else []
    return [*found, *(("package", s[:12], "stored") for s in sorted(state.packages or {}))]
