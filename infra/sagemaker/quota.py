"""Does the account's quota suffice for what a plan runs at a time? Service Quotas says what is
allowed, and the endpoints that are there what is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.sagemaker import references, state
from onnxferry.infra.sagemaker.fleet import Fleet
from onnxferry.infra.sagemaker.names import Names


def shortage(clients: AwsClients, names: Names, fleets: tuple[Fleet, ...]) -> str:
    """What is lacking for `fleets` to run at a time, in words; "" where nothing is, or where the
    account has no such quota. Raises NotAllowed."""
    of_sagemaker = {"ServiceCode": "sagemaker", "MaxResults": 100}
    listed = ("service-quotas", "list_service_quotas", "Quotas", "quotas of SageMaker")
    quotas = {quota["QuotaName"]: quota for quota in clients.pages(*listed, **of_sagemaker)}
    used = _used(clients, {names.endpoint, names.candidate})
    return "; ".join(_lacking(names, fleets, used, quotas))


def _lacking(
    names: Names, fleets: Iterable[Fleet], used: Counter[str], quotas: dict[str, dict[str, object]]
) -> Iterator[str]:
    for fleet in fleets:
        name = f"{fleet.instance_type} for endpoint usage"
        quota, others = quotas.get(name), used[fleet.instance_type]
        if quota is None or others + fleet.count <= float(str(quota["Value"])):
            continue
        more = f"--quota-code {quota['QuotaCode']} --desired-value {others + fleet.count}"
        yield (
            f"{name}: {float(str(quota['Value'])):g} are allowed in {names.region}, {others} serve"
            f" other endpoints, and this needs {fleet.count} at a time. Ask for more (aws"
            f" service-quotas request-service-quota-increase --service-code sagemaker {more}"
            f" --region {names.region}), or set another sagemaker.serving.instance_type"
        )


def _used(clients: AwsClients, but: set[str]) -> Counter[str]:
    """Instances by type, of all endpoints other than `but`."""
    counts: Counter[str] = Counter()
    for endpoint in references.endpoints(clients, but):
        for variant in (state.described_config(clients, endpoint.config) or {}).get(
            "ProductionVariants", []
        ):
            running = endpoint.count or variant.get("InitialInstanceCount", 0)
            counts[variant.get("InstanceType", "")] += running
    return counts
