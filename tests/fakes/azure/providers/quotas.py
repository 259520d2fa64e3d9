"""Quotas: what a region's subscription has and uses of VM families, and the VM sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error, paged

MACHINE_LEARNING = "Microsoft.MachineLearningServices"
SIZES = {  # name -> family, vCPUs
    "Standard_F2s_v2": ("standardFSv2Family", 2),
    "Standard_F4s_v2": ("standardFSv2Family", 4),
    "Standard_DS2_v2": ("standardDSv2Family", 2),
    "Standard_DS3_v2": ("standardDSv2Family", 4),
}


@dataclass
class Quotas:
    """`limits` and `used` are vCPUs by provider and family. A provider that a subscription has not
    registered knows no regions."""

    azure: AzureFake
    limits: dict[tuple[str, str], int] = field(default_factory=dict)
    used: dict[tuple[str, str], int] = field(default_factory=dict)
    page: int = 2  # rows of an answer

    def __post_init__(self) -> None:
        for provider in (MACHINE_LEARNING, "Microsoft.Compute"):
            for family in ("standardFSv2Family", "standardDSv2Family", "standardNCFamily"):
                self.limits.setdefault((provider, family), 0 if "NC" in family else 100)
        start = r"/subscriptions/[^/]+/providers/(?P<provider>[^/]+)/locations/(?P<region>[^/]+)"
        self.azure.add(
            Route("GET", rf"{start}/usages", self._usages),
            Route("GET", rf"{start}/vmSizes", self._sizes),
        )

    def _usages(self, call: Call, match: re.Match[str]) -> Answer:
        rows = [
            self._usage(provider, family, limit)
            for (provider, family), limit in self.limits.items()
            if provider.lower() == match["provider"].lower()
        ]
        return self._paged(call, rows)

    def _usage(self, provider: str, family: str, limit: int) -> dict[str, Any]:
        short = family.removeprefix("standard").removesuffix("Family")
        own = provider == MACHINE_LEARNING
        words = "Family Cluster Dedicated vCPUs" if own else "Family vCPUs"
        kind = {"type": f"{provider}/vmFamily/dedicatedCores/usages"} if own else {}
        return {
            "currentValue": self.used.get((provider, family), 0),
            "limit": limit,
            "unit": "Count",
            "name": {"value": family, "localizedValue": f"Standard {short} {words}"},
            **kind,
        }

    def _sizes(self, call: Call, match: re.Match[str]) -> Answer:
        rows = [
            {
                "name": name,
                "family": family,
                "vCPUs": cores,
                "supportedComputeTypes": ["AmlCompute"],
            }
            for name, (family, cores) in SIZES.items()
        ]
        return self.azure.arm.refuse(call) or Answer(200, {"value": rows})

    def _paged(self, call: Call, rows: list[dict[str, Any]]) -> Answer:
        if refusal := self.azure.arm.refuse(call):
            return refusal
        if not rows:
            return error(404, "InvalidResourceType", "No registered provider has such a type.")
        return paged(call, rows, self.page)
