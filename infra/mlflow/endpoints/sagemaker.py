"""An endpoint at SageMaker that mlflow.deployments makes of the MLflow model folder, on an image of
MLflow's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle, Listed
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import NotFound
from onnxferry.infra.mlflow.endpoints import sagemaker_plan
from onnxferry.infra.mlflow.endpoints.sagemaker_desired import desired_model
from onnxferry.infra.mlflow.endpoints.sagemaker_listing import listed
from onnxferry.infra.mlflow.endpoints.sagemaker_names import MlflowNames
from onnxferry.infra.mlflow.endpoints.sagemaker_operations import MlflowOperations, smoke_test
from onnxferry.infra.mlflow.endpoints.sagemaker_state import read, read_prerequisites
from onnxferry.infra.mlflow.endpoints.specs import mlflow_request_for
from onnxferry.infra.plan import Plan
from onnxferry.infra.plan_text import Report
from onnxferry.infra.sagemaker import given_role, plan, state, storage
from onnxferry.infra.sagemaker.checks import Checks
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.sagemaker.smoke import SmokeTest
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.target_tables.sagemaker import RealTime
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> MlflowSageMaker:
    """The endpoint `name`; sends nothing yet. Raises NoCredentials or UsageError."""
    settings = config.sagemaker or SageMaker()
    if not settings.image:
        raise UsageError(
            'mlflow.deploy_to = "sagemaker" needs sagemaker.image, the URI of an image of MLflow\'s'
            " in a registry of yours: `mlflow sagemaker build-and-push-container` makes it"
        )
    if without := list(_without(settings)):
        raise UsageError(
            f'mlflow.deploy_to = "sagemaker": mlflow.deployments has nothing for'
            f" {', '.join(without)}; leave that out, or deploy with --target sagemaker"
        )
    return MlflowSageMaker(AwsClients(settings.profile, settings.region), settings, name, clock)


def _without(settings: SageMaker) -> Iterator[str]:
    """The keys of [sagemaker] that are set, and that would silently not be heeded."""
    serving = settings.serving
    if not isinstance(serving, RealTime):
        yield f'sagemaker.serving.mode = "{serving.mode}"'
    elif serving.variants:
        yield "sagemaker.serving.variants"
    given = {
        "sagemaker.network.subnets": settings.network.subnets,
        "sagemaker.kms_key": settings.kms_key,
        "sagemaker.scaling": settings.scaling,
        "sagemaker.capture": settings.capture,
        "sagemaker.rollout.shadow": settings.rollout.shadow,
        "sagemaker.rollout.traffic": settings.rollout.traffic != "all_at_once",
    }
    yield from (key for key, value in given.items() if value)


@dataclass(frozen=True)
class MlflowSageMaker(SageMakerCloud):
    """See infra.cloud.OnlineEndpoint. All but the way in is as for target sagemaker."""

    _operations = MlflowOperations

    @cached_property
    def names(self) -> MlflowNames:
        """See SageMakerCloud."""
        signed_in = (self.clients.region, self.clients.account, self.clients.partition)
        now = self.today().isoformat(timespec="seconds")
        return MlflowNames(self.endpoint, *signed_in, self.settings, now)

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        key = "" if self.settings.role else storage.encryption_key(self.clients, self.names)
        wanted, there = desired_model(self.names, bundle, key), self._read()
        to = sagemaker_plan.goal(there, wanted)
        found = read_prerequisites(self.clients, wanted, wanted.manifest(to.config))
        given_role.check(self.clients, self.settings.role)
        checks = Checks(self.clients, there)
        used = checks.used(*plan.unused(there, plan.kept(there, to.config)))
        planned = sagemaker_plan.deploy(there, wanted, found, used)
        checked = checks.checked(planned, to.variant)
        return self._noted(checks.guarded(checked, to.variant, wanted.watched(to.config)))

    def listed(self) -> Sequence[Listed]:
        """What is MLflow's of all that onnxferry made."""
        found = listed(self.clients, self.names)
        for note in self.clients.notes:
            Report().note(note)
        return found

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint: a request of ours is sent as MLflow's server takes it."""
        where = f"AWS {self.clients.region}, endpoint {self.endpoint}"
        return super().invoke(mlflow_request_for(request, self._manifest(), where), timeout)

    def _manifest(self) -> bytes:
        """That of the version that serves. Raises NotFound."""
        found = state.endpoint(self.clients, self.endpoint)
        if found is None:
            raise NotFound(
                f"AWS {self.clients.region}, endpoint {self.endpoint}: there is none;"
                f" {program('deploy')} makes it"
            )
        url, _ = state.served(self.clients, found.config)
        return self._smoke_test.manifest(url)

    @property
    def _smoke_test(self) -> SmokeTest:
        return smoke_test(self.clients)

    def _read(self) -> CurrentState:
        return read(self.clients, self.names)
