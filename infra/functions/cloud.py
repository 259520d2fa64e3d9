"""One function app: plan, execute, ask, tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients import azure, function_host
from onnxferry.infra.clients.web import App
from onnxferry.infra.cloud import Bundle, Reply, Status
from onnxferry.infra.config import DeployConfig, Functions
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.functions import plan
from onnxferry.infra.functions.deletion import Surroundings, delete
from onnxferry.infra.functions.names import MADE, PACKAGES, VERSION, Names, container
from onnxferry.infra.functions.operations import Operations, described
from onnxferry.infra.functions.smoke import publication_log
from onnxferry.infra.functions.state import Clients, CurrentState, read
from onnxferry.infra.plan import Action, Operation, Plan, Step
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request

_TARGET = "functions"


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> FunctionsCloud:  # noqa: B008 - frozen
    """The app `name` in the subscription and resource group of `config`. Signs in at the first
    call."""
    settings = config.functions
    if settings is None:
        raise CloudError("the configuration has no [functions] table")
    session = azure.session(settings.subscription, settings.tenant)
    names = Names(settings.subscription, settings.resource_group, name, settings.storage_account)
    return FunctionsCloud(Clients.open(session, settings.resource_group), names, settings, clock)


@dataclass(frozen=True)
class FunctionsCloud:
    """See infra.cloud.Cloud."""

    clients: Clients
    names: Names
    settings: Functions
    clock: Clock

    def sign_in(self) -> None:
        self.clients.session.sign_in()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        live = read(self.clients, self.names, settings=True)
        plan.check(live)
        if live.account is None:
            self.clients.storage.check_name(self.names.account)
        for side in (live.main, live.candidate):
            if side.app is None:
                self.clients.web.check_name(side.name)
        steps = plan.deploy(live, self._wanted(live), bundle.package.sha256, bundle.package.python)
        return Plan(_TARGET, "deploy", self.names.app, steps)

    def plan_rollback(self) -> Plan:
        live = self._read()
        plan.check(live)
        return Plan(_TARGET, "roll back", self.names.app, plan.rollback(live))

    def plan_delete(self) -> Plan:
        live = self._read()
        if live.group and live.group.state == "Deleting":
            facts = {"kind": "resource group", "state": live.group.state}
            gone = Step(Action.CHECK, "resource group", live.group.name, "settle", facts)
            return Plan(_TARGET, "delete", self.names.app, (gone,))
        plan.check_ours(live)
        if live.account and live.packages is None and not live.account_is_ours:
            # says who may not look, for they would stay
            self.clients.packages(live.account).list(self.names.folder)
        steps = delete(live, self._surroundings(live)) if live.group else ()
        return Plan(_TARGET, "delete", self.names.app, steps)

    def operations(self, bundle: Bundle | None = None) -> Mapping[str, Operation]:
        limit = self.settings.wait_minutes * 60
        return Operations(self.clients, self.names, limit, self.clock, bundle).table()

    def invoke(self, request: Request, timeout: float) -> Reply:
        app = self._serving()
        served_by = app.tags.get(VERSION, "")[:12]
        return function_host.send(
            app.host, self.clients.web.keys(app.name), request, timeout, served_by
        )

    def status(self) -> Status:
        live = self._read()
        main = live.main
        details: dict[str, Any] = {"publishing": main.publishing[:12]} if main.publishing else {}
        if main.app:
            runtime, scale = (
                main.app.config.get(key) or {} for key in ("runtime", "scaleAndConcurrency")
            )
            details |= {
                "python": runtime.get("version"),
                "instance memory MB": scale.get("instanceMemoryMB"),
            }
        resources = tuple(_resources(live))
        url = f"https://{main.app.host}/api/score" if main.app and main.app.host else ""
        state = (main.app.state if main.app else "half-made") if _made(live) else "absent"
        return Status(
            _TARGET,
            self.names.app,
            state,
            url,
            main.version[:12],
            main.previous[:12],
            resources,
            details,
        )

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
        return read(self.clients, self.names)

    def _serving(self) -> App:
        app = self.clients.web.app(self.names.app)
        if app is None:
            raise NotFound(
                f"Azure Functions app {self.names.app}: resource group {self.names.group} has none"
                " of that name; check name, group and subscription in deploy.toml, or deploy it"
                " first"
            )
        return app

    def _wanted(self, live: CurrentState) -> plan.DesiredState:
        """How things shall be, as deploy.toml says."""
        mine = self.settings
        scale: dict[str, Any] = {
            "instanceMemoryMB": mine.instance_memory_mb,
            "maximumInstanceCount": mine.maximum_instance_count,
        }
        if mine.http_concurrency:
            scale["triggers"] = {"http": {"perInstanceConcurrency": mine.http_concurrency}}
        url = f"https://{self.names.account}.blob.{self.clients.session.where.storage_suffix}"
        found = live.account.url if live.account else ""
        tags = {**mine.tags, MADE: self.names.app}
        return plan.DesiredState(mine.location, tags, scale, found or url, mine.environment)

    def _surroundings(self, live: CurrentState) -> Surroundings:
        resources = self.clients.groups.resources(self.names.group)
        if live.account is None:
            return Surroundings(resources)
        roles = [
            name
            for name in (self.names.app, self.names.candidate)
            if self.clients.roles.described(self.names.account_id, described(name))
        ]
        others = self.clients.storage.others(self.names.account) if live.account_is_ours else []
        return Surroundings(resources, others, self._foreign_packages(live), roles)

    def _foreign_packages(self, live: CurrentState) -> bool:
        """Whether other apps keep packages in this account, too; so we say where we may not
        look."""
        if PACKAGES not in live.containers or live.account is None:
            return False
        if live.packages is None:
            return not live.account_is_ours
        return self.clients.packages(live.account).has_other(live.names.folder)


def _made(live: CurrentState) -> bool:
    """Whether anything of this app is there."""
    ours = bool(live.account) and live.account_is_ours
    return bool(live.main.exists or live.candidate.exists or live.packages or ours)


def _resources(live: CurrentState) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    if live.group and _made(live):
        found.append(("resource group", live.group.name, live.group.state))
    if live.account and _made(live):
        found.append(("storage account", live.account.name, live.account.state))
    for side in (live.main, live.candidate):
        found += [
            (kind, x.name, x.state) for kind, x in (("app", side.app), ("plan", side.farm)) if x
        ]
        found += [("container", container(side.name), "made")] if side.container else []
    return [*found, *(("package", sha256[:12], "stored") for sha256 in sorted(live.packages or {}))]
