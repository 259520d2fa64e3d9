"""A workspace on loopback, packages of tiny models, and the cloud of the endpoint "squad"."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from azure.ai.ml.constants._endpoint import EndpointInvokeFields

from onnxferry.infra import azureml
from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.plan import Plan
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.wire import JSON
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.fakes.azure.providers.quotas import Quotas
from tests.infra.proved import proved_versions
from tests.infra.quiet import QuietReport

NAME = "squad"
QUICK = Clock(sleep=lambda seconds: time.sleep(0.002), interval=0)


@pytest.fixture
def azure(
    keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AzureFake]:
    # azure-ai-ml adds to these what one call has, such as a deployment's name
    monkeypatch.setattr(EndpointInvokeFields, "DEFAULT_HEADER", {"Content-Type": JSON})
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        yield fake
        keep_bodies(fake.arm.puts)


@pytest.fixture
def ml(azure: AzureFake, quotas: Quotas) -> MachineLearning:
    provider = MachineLearning(azure)
    provider.workspace()
    return provider


@pytest.fixture
def quotas(azure: AzureFake) -> Quotas:
    return Quotas(azure)


@pytest.fixture
def cloud(ml: MachineLearning) -> OnlineEndpoint:
    return connected()


def connected(**changes: Any) -> OnlineEndpoint:
    return azureml.connect(config(**changes), NAME, QUICK)


def config(**changes: Any) -> DeployConfig:
    facts: Mapping[str, Any] = {
        "subscription": SUBSCRIPTION,
        "resource_group": "rg",
        "workspace": "work",
        **changes,
    }
    return DeployConfig(azureml=AzureML(**facts))


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Three packages whose golden answers differ: "a", "b" and "c"."""
    return proved_versions("azureml", tmp_path_factory)


def deploy(cloud: OnlineEndpoint, bundle: Bundle, *, keep_failed: bool = False) -> Plan:
    plan = cloud.plan_deploy(bundle)
    apply(plan, cloud, QuietReport(), Terms(keep_failed=keep_failed))
    return plan
