"""Who uses a model or an endpoint configuration, in the whole account and region: SageMaker deletes
both without asking, and an endpoint whose configuration is gone can no more be updated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.sagemaker import state


def users(
    clients: AwsClients, configs: Collection[str], models: Collection[str], but: Collection[str]
) -> dict[str, str]:
    """Those of `configs` and `models` that are in use, and by what ("endpoint x"): by endpoints
    and transform jobs other than `but`, by configurations other than `configs`. Asks nothing where
    both are empty."""
    found = dict(of_configs(clients, configs, but)) if configs else {}
    unused = set(configs) - set(found)
    if models:
        found |= dict(of_models(clients, models, unused))
        jobs = clients.if_allowed(
            lambda: list(of_jobs(clients, models, but)), "batch jobs that use a model are not seen"
        )
        found |= dict(jobs or ())
    return found


def of_configs(
    clients: AwsClients, configs: Collection[str], but: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each of `configs` that an endpoint serves or is getting, with that endpoint."""
    for endpoint in endpoints(clients, but):
        used = {endpoint.config, endpoint.pending} & set(configs)
        yield from ((config, f"endpoint {endpoint.name}") for config in used)


def of_models(
    clients: AwsClients, models: Collection[str], but: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each of `models` that an endpoint configuration names, with that configuration."""
    listed = ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "endpoint configurations")
    names = (item["EndpointConfigName"] for item in clients.pages(*listed))
    for name in _but(names, but):
        found = state.described_config(clients, name) or {}
        variants = [
            *found.get("ProductionVariants", []),
            *found.get("ShadowProductionVariants", []),
        ]
        used = {variant.get("ModelName") for variant in variants} & set(models)
        yield from ((model, f"endpoint configuration {name}") for model in used)


def of_jobs(
    clients: AwsClients, models: Collection[str], but: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each of `models` that a transform job at work needs, with that job."""
    listed = ("sagemaker", "list_transform_jobs", "TransformJobSummaries", "transform jobs")
    found = clients.pages(*listed, StatusEquals="InProgress")
    for name in _but((item["TransformJobName"] for item in found), but):
        describe = ("sagemaker", "describe_transform_job", f"transform job {name}")
        job = clients.call_if_there(*describe, TransformJobName=name)
        if job and job["ModelName"] in models:
            yield job["ModelName"], f"transform job {name}"


def endpoints(clients: AwsClients, but: Collection[str] = ()) -> Iterator[state.Endpoint]:
    """All endpoints of the account and region, whoever made them."""
    listed = clients.pages("sagemaker", "list_endpoints", "Endpoints", "endpoints")
    names = _but((item["EndpointName"] for item in listed), but)
    yield from filter(None, (state.endpoint(clients, name) for name in names))


def _but(names: Iterable[str], but: Collection[str]) -> Iterator[str]:
    return (name for name in names if name not in but)
