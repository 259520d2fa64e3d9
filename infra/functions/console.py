"""The pages of the Azure portal."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from onnxferry.infra.clients.azure import AzureEnvironment
from onnxferry.system.errors import UsageError

_PORTALS: Mapping[str, str] = {  # by the cloud's storage suffix
    "core.windows.net": "https://portal.azure.com",
    "core.usgovcloudapi.net": "https://portal.azure.us",
    "core.chinacloudapi.cn": "https://portal.azure.cn",
}


def resource_page(where: AzureEnvironment, resource_id: str) -> str:
    """The address of a resource's page. Raises UsageError in a cloud without a known portal."""
    portal = _PORTALS.get(where.storage_suffix)
    if portal is None:
        raise UsageError(f"the portal of cloud {where.name} is not known here")
    return f"{portal}/#@/resource{quote(resource_id)}"
