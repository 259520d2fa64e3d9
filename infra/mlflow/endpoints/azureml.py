"""An endpoint of a workspace that serves the MLflow model folder as it is: Azure makes the
environment of its conda.yaml and brings the scoring script, so that there is no code to send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxferry.infra.azureml import declared
from onnxferry.infra.azureml.cloud import AzureMLCloud
from onnxferry.infra.azureml.desired import DesiredState, digest, version_of
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.operations import Operations
from onnxferry.infra.azureml.scaling.target import scaled
from onnxferry.infra.azureml.smoke import SmokeTest
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azure import azure_session
from onnxferry.infra.cloud import Bundle, Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import NotFound
from onnxferry.infra.mlflow.endpoints.azureml_requests import azureml_golden_in, azureml_request_for
from onnxferry.infra.mlflow.endpoints.specs import MANIFEST, MARK
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package.azureml import deployment
from onnxferry.scripts.rehearse import record
from onnxferry.system.errors import UsageError


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> MlflowAzureML:
    """The endpoint `name` in the workspace of `config`. Signs in at the first call. Raises
    UsageError."""
    settings = config.azureml
    if settings is None:
        raise UsageError(
            'mlflow.deploy_to = "azureml" needs the table [azureml], which names the workspace'
        )
    if without := list(_without(settings)):
        raise UsageError(
            'mlflow.deploy_to = "azureml": Azure makes the container of an MLflow model itself, and'
            f" nothing heeds {', '.join(without)}; leave that out, or deploy with --target azureml"
        )
    session = azure_session(settings.subscription, settings.tenant, clock.interval)
    names = MlflowNames(settings.subscription, settings.resource_group, settings.workspace, name)
    return MlflowAzureML(Clients.of(session, names), names, settings, clock)


def _without(settings: AzureML) -> Iterator[str]:
    """The keys of [azureml] that are set, and that would silently not be heeded."""
    given = {
        "azureml.image": settings.image != "conda",
        "azureml.scaling": settings.scaling,
        "azureml.rollout.mirror": settings.rollout.mirror,
        "azureml.rollout.traffic": settings.rollout.traffic != "all_at_once",
    }
    yield from (key for key, value in given.items() if value)


class MlflowNames(Names):
    """Of what belongs to an endpoint that serves an MLflow model."""

    @property
    def made(self) -> str:
        """See Names: another target's endpoint of that name is another's."""
        return f"{MARK}{self.endpoint}"

    @property
    def folder(self) -> str:
        """See Names."""
        return super().folder.replace("onnxferry/", f"onnxferry/{MARK}", 1)


class MlflowOperations(Operations):
    """The operations at one endpoint."""

    @property
    def _smoke_test(self) -> SmokeTest:
        return _smoke_test(self.clients, self.names, self.clock)


@dataclass(frozen=True)
class MlflowAzureML(AzureMLCloud):
    """See infra.cloud.OnlineEndpoint. All but what is deployed and how it is asked is as for target
    azureml."""

    _operations = MlflowOperations

    def listed(self) -> Sequence[Listed]:
        """What is MLflow's of all that onnxferry made."""
        return [one for one in super().listed() if one.endpoint.startswith(MARK)]

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint: a request of ours is sent as Azure's scoring script takes it."""
        sent = azureml_request_for(request, self._manifest(), self.names.where)
        return super().invoke(sent, timeout)

    def _manifest(self) -> bytes:
        """That of the model that serves. Raises NotFound."""
        state = self._read()
        serving = state.ours.get(state.serving)
        if serving is None:
            raise NotFound(f"{self.names.where}: no deployment of ours takes traffic; deploy it")
        model = serving.assets["model"].rpartition("/")[2]
        return _smoke_test(self.clients, self.names, self.clock).manifest(model)

    def _desired(self, bundle: Bundle, deployed: str) -> DesiredState:
        """The whole package is the model."""
        package, config = bundle.package, self.settings
        files = {member.path: member.sha256 for member in package.members}
        own = deployment("", {})
        settings = {"environment_variables": {}, **{key: own[key] for key in _SERVED}}
        settings = declared.over(settings, declared.deployment(config, record.of(package)))
        return DesiredState(
            version=bundle.version,
            versions={"model": version_of("model", files)},
            files={"model": {"source": str(package.path), "files": files}},
            spec=str(package.path / MANIFEST),
            deployment=f"v{bundle.version}-{digest(settings)[:6]}",
            environment={},
            settings=settings,
            endpoint=declared.endpoint(config),
            model_type="mlflow_model",
            keep_previous=config.keep_previous,
            deployed=deployed,
            tags=config.tags,
            rollout=config.rollout,
            scaling=scaled(config),
        )


_SERVED = ("request_settings", "liveness_probe", "readiness_probe")


def _smoke_test(clients: Clients, names: Names, clock: Clock) -> SmokeTest:
    return SmokeTest(clients, names, clock, MANIFEST, azureml_golden_in)
