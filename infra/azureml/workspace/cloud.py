"""One workspace, as its template."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from onnxferry.infra.azureml.workspace.names import WorkspaceNames
from onnxferry.infra.azureml.workspace.operations import WorkspaceOperations
from onnxferry.infra.azureml.workspace.plan import kept_tags, template_plan, values
from onnxferry.infra.azureml.workspace.state import check, read_state
from onnxferry.infra.azureml.workspace.template import template
from onnxferry.infra.clients.azure import AzureSession, azure_session
from onnxferry.infra.clients.azure_deployments import Deployments
from onnxferry.infra.clients.azure_roles import Roles
from onnxferry.infra.cloud import Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.templates import deploying
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scripts.package import Package
from onnxferry.system.console import Progress


def connect(config: DeployConfig, name: str = "", clock: Clock = Clock()) -> WorkspaceCloud:
    """The workspace of `config`; no endpoint has to be named. Signs in at the first call."""
    settings = config.azureml
    if settings is None:
        raise CloudError("the configuration has no [azureml] table")
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = WorkspaceNames(settings.subscription, settings.resource_group, settings.workspace)
    return WorkspaceCloud(session, names, settings, clock)


@dataclass(frozen=True)
class WorkspaceCloud:
    """Implements infra.cloud.Templated. It has no lease: of the deployments of one name, Azure lets
    one be at work, and a run waits for another's."""

    session: AzureSession
    names: WorkspaceNames
    settings: AzureML
    clock: Clock

    def sign_in(self) -> None:
        """See Cloud."""
        self.session.token()

    def template(self, package: Package, kind: str = "", *, over: bool = False) -> str:
        """See Templated; no package counts."""
        kept = kept_tags(read_state(self.session, self.names), self.settings) if over else {}
        return template(self.names, self.settings, kept).text

    def plan_template(self, package: Package) -> Plan:
        """See Templated. Raises NotFound without the resource group, and Refused where a name is
        somebody else's."""
        state = read_state(self.session, self.names)
        check(self.names, state)
        user = Roles(self.session).signed_in()
        given, kept = values(state, user), kept_tags(state, self.settings)
        found = template(self.names, self.settings, kept, user.id)
        deployments = Deployments(self.session, self.names.group)
        name = deploying.deployment_name(self.names.workspace)
        preview = deploying.preview(deployments, name, found, given)
        return template_plan(self.names, state, found, given, preview)

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        return {name for name in vars(WorkspaceOperations) if not name.startswith("_")}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        limit = self.settings.wait_minutes * 60
        waiting = partial(wait, limit=limit, progress=progress, clock=self.clock)
        getattr(WorkspaceOperations(self.session, self.names, waiting), step.operation)(step)

    def lease_store(self) -> LeaseStore:
        """See Cloud. Raises NotFound."""
        raise NotFound(f"workspace {self.names.workspace}: its template has no lease")

    def listed(self) -> Sequence[Listed]:
        """See Cloud: no endpoint's things."""
        return ()
