"""One function app, with its candidate."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxferry.infra.clients import function_host
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.cloud import Bundle, EndpointStatus, Listed
from onnxferry.infra.config import DeployConfig, Functions
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.functions import plan
from onnxferry.infra.functions.deletion import delete
from onnxferry.infra.functions.desired import desired_state
from onnxferry.infra.functions.names import VERSION, Names, container
from onnxferry.infra.functions.operations import Operations
from onnxferry.infra.functions.smoke import publication_log
from onnxferry.infra.functions.state import Clients, CurrentState, read_shared_resources, read_state
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.console import Progress


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
        suffix = self.clients.session.where.storage_suffix
        desired = desired_state(bundle, self.settings, state, suffix)
        place, replaces = self._place(), state.main.version[:12]
        summary = Summary(place, bundle.version, replaces, self._instances(), minutes=(2, 8))
        return Plan("functions", "deploy", self.names.app, plan.deploy(state, desired), summary)

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check(state)
        steps = plan.rollback(state)
        target, replaces = steps[0].name, state.main.version[:12]
        summary = Summary(self._place(), target, replaces, minutes=(1, 4))
        return Plan("functions", "roll back", self.names.app, steps, summary)

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        state = self._read()
        plan.check_ours(state)
        steps = delete(state, read_shared_resources(self.clients, state))
        summary = Summary(self._place(), minutes=(1, 5))
        return Plan("functions", "delete", self.names.app, steps, summary)

    def _place(self) -> str:
        return f"resource group {self.names.group}, {self.settings.location}"

    def _instances(self) -> str:
        mine = self.settings
        return f"at most {mine.maximum_instance_count} instances of {mine.instance_memory_mb} MB"

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
        limit, folder = self.settings.wait_minutes * 60, Path(self._folder.name)
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        operations = Operations(self.clients, self.names, waiting, progress, folder)
        getattr(operations, step.operation)(step)

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        app = self._serving()
        keys, served_by = self.clients.web.keys(app.name), app.tags.get(VERSION, "")[:12]
        return function_host.send(app.host, keys, request, timeout, served_by)

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint."""
        return _status(self._read())

    def logs(self, lines: int) -> str:
        """The last `lines` of how the latest package was published, and what the Functions host
        says of itself.

        That is all that Flex Consumption shows without Application Insights, which holds what the
        functions print, and which deploying does not create: connect it to the app in the portal,
        and query its `traces` there.
        """
        app = self._serving()
        log = publication_log(self.clients, app).splitlines()
        try:
            state = function_host.host_state(app.host, self.clients.web.keys(app.name))
        except CloudError as e:
            state = f"not up ({e})"
        return "\n".join([*log, f"host: {state}"][-lines:])

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


def _status(state: CurrentState) -> EndpointStatus:
    main, app, details = state.main, state.main.app, dict[str, Any]()
    if main.publishing:
        details["publishing"] = main.publishing[:12]
    if app:
        memory = (app.config.get("scaleAndConcurrency") or {}).get("instanceMemoryMB")
        details |= {"python": main.python, "instance memory MB": memory}
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
    shared = (("resource group", state.group), ("storage account", state.account))
    found = [(kind, x.name, x.state) for kind, x in shared if x and state.exists]
    for app in (state.main, state.candidate):
        own = (("app", app.app), ("plan", app.plan))
        found += [(kind, x.name, x.state) for kind, x in own if x]
        found += [("container", container(app.name), "made")] if app.container else []
    return [*found, *(("package", s[:12], "stored") for s in sorted(state.packages or {}))]
