"""The production variants of an endpoint configuration, as each serving mode has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxferry.infra.target_tables.sagemaker import Async, RealTime, SageMaker, Serverless

FIRST = "AllTraffic"  # the variant that every endpoint has
# to fetch and unpack a large package, and to load the model before the first health check
_START_SECONDS = 900


def production_variants(settings: SageMaker, model: str) -> list[dict[str, Any]]:
    """Those of CreateEndpointConfig, which serve `model`; the first is FIRST."""
    return _VARIANTS[settings.serving.mode](settings.serving, model)


def _on_instances(serving: RealTime | Async, model: str) -> list[dict[str, Any]]:
    given = getattr(serving, "variants", {})
    further = [_instances(name, model, one, one.weight) for name, one in given.items()]
    return [_instances(FIRST, model, serving, 1.0), *further]


def _instances(name: str, model: str, fleet: Any, weight: float) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InstanceType": fleet.instance_type,
        "InitialInstanceCount": fleet.instance_count,
        "InitialVariantWeight": weight,
        "ModelDataDownloadTimeoutInSeconds": _START_SECONDS,
        "ContainerStartupHealthCheckTimeoutInSeconds": _START_SECONDS,
    }


def _serverless(serving: Serverless, model: str) -> list[dict[str, Any]]:
    sizes = {"MemorySizeInMB": serving.memory_mb, "MaxConcurrency": serving.max_concurrency}
    if serving.provisioned_concurrency:
        sizes["ProvisionedConcurrency"] = serving.provisioned_concurrency
    return [{"VariantName": FIRST, "ModelName": model, "ServerlessConfig": sizes}]


_VARIANTS: Mapping[str, Callable[[Any, str], list[dict[str, Any]]]] = {
    "realtime": _on_instances,
    "async": _on_instances,
    "serverless": _serverless,
}
