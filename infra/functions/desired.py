"""How an app shall be, as deploy.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.config import Functions
from onnxferry.infra.functions.names import MADE, container
from onnxferry.infra.functions.state import CurrentState


@dataclass(frozen=True)
class DesiredState:
    """How things shall be: `scale` is scaleAndConcurrency of functionAppConfig, `blobs` the URL of
    the blobs, and `environment` the variables that deploy.toml gives the app."""

    location: str
    tags: Mapping[str, str]
    scale: Mapping[str, Any]
    blobs: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def config(self, app: str, python: str) -> dict[str, Any]:
        """The functionAppConfig of `app` for a package that is made for `python`."""
        return {
            "deployment": {
                "storage": {
                    "type": "blobContainer",
                    "value": f"{self.blobs}/{container(app)}",
                    "authentication": {"type": "SystemAssignedIdentity"},
                }
            },
            "runtime": {"name": "python", "version": python},
            "scaleAndConcurrency": dict(self.scale),
        }


def desired(live: CurrentState, mine: Functions, storage_suffix: str) -> DesiredState:
    """What `mine` asks for; `storage_suffix` is that of the cloud's blob addresses."""
    scale: dict[str, Any] = {
        "instanceMemoryMB": mine.instance_memory_mb,
        "maximumInstanceCount": mine.maximum_instance_count,
    }
    if mine.http_concurrency:
        scale["triggers"] = {"http": {"perInstanceConcurrency": mine.http_concurrency}}
    url = f"https://{live.names.account}.blob.{storage_suffix}"
    found = live.account.url if live.account else ""
    tags = {**mine.tags, MADE: live.names.app}
    return DesiredState(mine.location, tags, scale, found or url, mine.environment)
