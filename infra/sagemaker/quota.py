"""Does the account's quota suffice for what a plan runs at a time? Service Quotas says what is
allowed, and the endpoints that are there what is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.sagemaker import references, state
from onnxferry.infra.sagemaker.fleet import (
    Containers,
    Fleet,
    Fleets,
    configured,
    running,
    variants_of,
)
from onnxferry.infra.sagemaker.names import Names

_SERVERLESS = "Maximum total concurrency that can be allocated across all serverless endpoints"


def shortage(clients: AwsClients, names: Names, fleets: Fleets) -> str:
    """What is lacking for `fleets` to run at a time, in words; "" where nothing is, or where the
    account has no such quota. Raises NotAllowed."""
    of_sagemaker = {"ServiceCode": "sagemaker", "MaxResults": 100}
    listed = ("service-quotas", "list_service_quotas", "Quotas", "quotas of SageMaker")
    quotas = {quota["QuotaName"]: quota for quota in clients.pages(*listed, **of_sagemaker)}
    used = _used(clients, {names.endpoint, names.candidate})
    return "; ".join(_lacking(names, fleets, used, quotas))


def _lacking(
    names: Names, fleets: Fleets, used: Counter[str], quotas: dict[str, dict[str, object]]
) -> Iterator[str]:
    for part in fleets.parts:
        name, needed, advice = _asked(part)
        quota, others = quotas.get(name), used[name]
        if quota is None or others + needed <= float(str(quota["Value"])):
            continue
        more = f"--quota-code {quota['QuotaCode']} --desired-value {others + needed}"
        yield (
            f"{name}: {float(str(quota['Value'])):g} are allowed in {names.region}, {others} serve"
            f" other endpoints, and this needs {needed} at a time. Ask for more (aws"
            f" service-quotas request-service-quota-increase --service-code sagemaker {more}"
            f" --region {names.region}), or set {advice}"
        )


def _asked(part: Fleet | Containers) -> tuple[str, int, str]:
    """The quota's name, how much of it is needed, and what to set else."""
    if isinstance(part, Containers):
        return _SERVERLESS, part.concurrency, "a smaller sagemaker.serving.max_concurrency"
    name = f"{part.instance_type} for endpoint usage"
    return name, part.count, "another sagemaker.serving.instance_type"


def _used(clients: AwsClients, but: set[str]) -> Counter[str]:
    """By quota, what all endpoints other than `but` use."""
    counts: Counter[str] = Counter()
    for endpoint in references.endpoints(clients, but):
        if config := state.described_config(clients, endpoint.config):
            there = variants_of(config)
            now = running(there, endpoint.counts) if endpoint.count else configured(there)
            counts.update({name: used for name, used, _ in map(_asked, now.parts)})
    return counts
