"""Does the account's quota suffice for a job's instances? It is another than that of endpoints."""

from __future__ import annotations

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.jobs import BatchRequest
from onnxferry.infra.sagemaker.names import Names


def shortage(clients: AwsClients, names: Names, asked: BatchRequest) -> str:
    """What is lacking, in words; "" where nothing is, or nothing is known. What other jobs use is
    not known: SageMaker refuses what is over."""
    listed = ("service-quotas", "list_service_quotas", "Quotas", "quotas of SageMaker")
    of_sagemaker = {"ServiceCode": "sagemaker", "MaxResults": 100}
    found = clients.if_allowed(
        lambda: clients.pages(*listed, **of_sagemaker), "the quota was not checked"
    )
    name = f"{asked.instance_type} for transform job usage"
    quota = next((q for q in found or () if q["QuotaName"] == name), None)
    if quota is None or asked.instances <= float(quota["Value"]):
        return ""
    more = f"--quota-code {quota['QuotaCode']} --desired-value {asked.instances}"
    return (
        f"{name}: {float(quota['Value']):g} are allowed in {names.region}, and this needs"
        f" {asked.instances}. Ask for more (aws service-quotas request-service-quota-increase"
        f" --service-code sagemaker {more} --region {names.region}), or set another --instance-type"
    )
