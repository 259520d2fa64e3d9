"""How much of a region's quota is used, and what a VM size takes of it, over azure-core: no SDK
here offers it for all services alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core import PipelineClient
from azure.core.pipeline import policies
from azure.core.rest import HttpRequest

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated

MACHINE_LEARNING = "Microsoft.MachineLearningServices"
COMPUTE = "Microsoft.Compute"
_VERSIONS = {MACHINE_LEARNING: "2024-10-01", COMPUTE: "2024-07-01"}


@dataclass(frozen=True)
class Usage:
    """What is used of one quota; `name` is a family of VM sizes or the like, `words` what the
    portal calls it, and `kind` the resource type that it counts."""

    name: str
    words: str
    kind: str
    used: int
    limit: int


@dataclass(frozen=True)
class VmSize:
    """A VM size: the family by whose quota its `cores` count."""

    name: str
    family: str
    cores: int


class AzureQuota:
    """The quotas of one subscription in the region `location`. Raises NotAllowed where the
    signed-in user may not read them."""

    def __init__(self, session: AzureSession, location: str) -> None:
        self._where = f"quotas of subscription {session.subscription} in {location}"
        self._location = location
        self._start = f"{session.where.resource_manager}/subscriptions/{session.subscription}"
        retry = policies.RetryPolicy(**session.retries)
        used = [policies.UserAgentPolicy("onnxferry"), retry, session.sign_in_policy()]
        base, options = session.where.resource_manager, session.connection
        self._client = PipelineClient(base, policies=used, **options)

    def usages(self, provider: str) -> list[Usage]:
        """All quotas of MACHINE_LEARNING or COMPUTE."""
        return [_usage(one) for one in self._listed(provider, "usages")]

    def size(self, name: str) -> VmSize | None:
        """A VM size, as Azure Machine Learning knows it; None for one that it does not have."""
        found = {str(one.get("name")).lower(): one for one in self._listed(MACHINE_LEARNING)}
        one = found.get(name.lower())
        return VmSize(one["name"], one.get("family") or "", one.get("vCPUs") or 0) if one else None

    def _listed(self, provider: str, what: str = "vmSizes") -> Iterator[Mapping[str, Any]]:
        path = f"/providers/{provider}/locations/{self._location}/{what}"
        url = f"{self._start}{path}?api-version={_VERSIONS[provider]}"
        while url:
            with translated(self._where):
                response = self._client.send_request(HttpRequest("GET", url))
                response.raise_for_status()
                page = response.json()
            yield from page.get("value") or ()
            url = page.get("nextLink") or ""


def _usage(one: Mapping[str, Any]) -> Usage:
    name = one.get("name") or {}
    value = str(name.get("value") or "")
    words = str(name.get("localizedValue") or value)
    used, limit = int(one.get("currentValue") or 0), int(one.get("limit") or 0)
    return Usage(value, words, str(one.get("type") or ""), used, limit)
