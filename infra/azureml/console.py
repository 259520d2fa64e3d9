"""The pages of Azure Machine Learning studio."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.system.errors import UsageError

_STUDIOS: Mapping[str, str] = {  # by the cloud's storage suffix
    "core.windows.net": "https://ml.azure.com",
    "core.usgovcloudapi.net": "https://ml.azure.us",
    "core.chinacloudapi.cn": "https://studio.ml.azure.cn",
}


def endpoint_page(
    where: AzureEnvironment, workspace_id: str, endpoint: str, *, batch: bool = False
) -> str:
    """The address of an online endpoint's page, or that of a batch endpoint, which lists its jobs.
    Raises UsageError in a cloud without a known studio."""
    studio = _STUDIOS.get(where.storage_suffix)
    if studio is None:
        raise UsageError(f"the studio of cloud {where.name} is not known here")
    kind = "batch" if batch else "realtime"
    return f"{studio}/endpoints/{kind}/{quote(endpoint)}/detail?wsid={quote(workspace_id)}"
