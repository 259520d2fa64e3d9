"""What shall be there for a bundle, as deploy.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import Functions
from onnxferry.infra.functions.app_settings import recorded
from onnxferry.infra.functions.names import MADE, container
from onnxferry.infra.functions.state import CurrentState


@dataclass(frozen=True)
class DesiredState:
    """The package `file`, its `sha256`, and how things shall be for it: `scale` is
    scaleAndConcurrency of functionAppConfig, `blobs` the URL of the storage account's blobs."""

    sha256: str
    file: str
    python: str
    location: str
    tags: Mapping[str, str]
    scale: Mapping[str, Any]
    blobs: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> dict[str, str]:
        """The package in a step's parameters."""
        return {"sha256": self.sha256, "file": self.file}

    @property
    def place(self) -> dict[str, Any]:
        """Where and with which tags a resource is created."""
        return {"location": self.location, "tags": dict(self.tags)}

    def config(self, app: str) -> dict[str, Any]:
        """The functionAppConfig of `app`."""
        storage = {
            "type": "blobContainer",
            "value": f"{self.blobs}/{container(app)}",
            "authentication": {"type": "SystemAssignedIdentity"},
        }
        return {
            "deployment": {"storage": storage},
            "runtime": {"name": "python", "version": self.python},
            "scaleAndConcurrency": dict(self.scale),
        }

    def settings(self, account: str) -> dict[str, str]:
        """The settings of an app that is created."""
        return {
            "AzureWebJobsStorage__accountName": account,
            "AzureWebJobsStorage__credential": "managedidentity",
            **recorded(self.environment),
        }


def desired_state(
    bundle: Bundle, config: Functions, state: CurrentState, storage_suffix: str
) -> DesiredState:
    """What `bundle` needs. The storage account's blobs are where `state` has them, and else at
    `storage_suffix`."""
    scale: dict[str, Any] = {
        "instanceMemoryMB": config.instance_memory_mb,
        "maximumInstanceCount": config.maximum_instance_count,
    }
    if config.http_concurrency:
        scale["triggers"] = {"http": {"perInstanceConcurrency": config.http_concurrency}}
    found = state.account.url if state.account else ""
    return DesiredState(
        sha256=bundle.package.sha256,
        file=str(bundle.package.path),
        python=bundle.package.python,
        location=config.location,
        tags={**config.tags, MADE: state.names.app},
        scale=scale,
        blobs=found or f"https://{state.names.account}.blob.{storage_suffix}",
        environment=config.environment,
    )
