"""The pages of AWS's console."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from onnxferry.system.errors import UsageError

_HOSTS: Mapping[str, str] = {  # by partition
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def endpoint_page(partition: str, region: str, endpoint: str) -> str:
    """The address of an endpoint's page. Raises UsageError in a partition without a known
    console."""
    return f"{_start(partition, region)}#/endpoints/{quote(endpoint)}"


def batch_page(partition: str, region: str) -> str:
    """That of the page of all batch transform jobs."""
    return f"{_start(partition, region)}#/transform-jobs"


def _start(partition: str, region: str) -> str:
    host = _HOSTS.get(partition)
    if host is None:
        raise UsageError(f"the console of AWS partition {partition} is not known here")
    return f"https://{region}.{host}/sagemaker/home?region={region}"
