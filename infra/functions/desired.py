"""What shall be there for a bundle, as deploy.toml says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import Functions
from onnxferry.infra.functions.app_settings import TELEMETRY, recorded, takes_telemetry
from onnxferry.infra.functions.names import DEPLOYED, MADE, SCALE, VERSION, container
from onnxferry.infra.functions.state import CurrentState
from onnxferry.infra.functions.tags import given_tags


@dataclass(frozen=True)
class DesiredState:
    """The package `file`, its `sha256`, and how things shall be for it: `scale` is
    scaleAndConcurrency of functionAppConfig, `scaled` names the keys in it that have a default of
    the platform's, `blobs` the URL of the storage account's blobs. `tags` are those of
    deploy.toml, `deployed` is when it is (ISO 8601, UTC). `telemetry` is whether the apps send what
    they print to Application Insights, and `environment` has the variables for that, too."""

    app: str
    sha256: str
    file: str
    python: str
    location: str
    tags: Mapping[str, str]
    deployed: str
    scale: Mapping[str, Any]
    blobs: str
    scaled: str = ""
    telemetry: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> dict[str, str]:
        """The package in a step's parameters."""
        return {"sha256": self.sha256, "file": self.file}

    @property
    def place(self) -> dict[str, Any]:
        """Where and with which tags a resource is created."""
        own = {MADE: self.app, VERSION: self.sha256, DEPLOYED: self.deployed}
        return {"location": self.location, "tags": {**given_tags(self.tags), **own}}

    @property
    def app_place(self) -> dict[str, Any]:
        """The same for an app, whose tags only name a version that has proved itself."""
        tags = {**self.place["tags"], **({SCALE: self.scaled} if self.scaled else {})}
        return {"location": self.location, "tags": {k: tags[k] for k in tags if k != VERSION}}

    @property
    def metadata(self) -> dict[str, str]:
        """What a container or a blob is created with; no hyphen is allowed there."""
        tags = {MADE: self.app, VERSION: self.sha256, DEPLOYED: self.deployed}
        return {name.replace("-", "_"): value for name, value in tags.items()}

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
    bundle: Bundle, config: Functions, state: CurrentState, storage_suffix: str, deployed: str
) -> DesiredState:
    """What `bundle` needs. The storage account's blobs are where `state` has them, and else at
    `storage_suffix`."""
    found, own = state.account.url if state.account else "", dict(config.environment)
    telemetry = config.application_insights and takes_telemetry(state.main.settings, own)
    if telemetry:
        own |= TELEMETRY | state.connection
    return DesiredState(
        app=state.names.app,
        sha256=bundle.package.sha256,
        file=str(bundle.package.path),
        python=bundle.package.python,
        location=config.location,
        tags=config.tags,
        deployed=deployed,
        scale=_scale(config, state),
        blobs=found or f"https://{state.names.account}.blob.{storage_suffix}",
        scaled="http_concurrency" if config.http_concurrency else "",
        telemetry=telemetry,
        environment=own,
    )


def _scale(config: Functions, state: CurrentState) -> dict[str, Any]:
    """scaleAndConcurrency. None gives back to the platform what an earlier deploy.toml set."""
    scale: dict[str, Any] = {
        "instanceMemoryMB": config.instance_memory_mb,
        "maximumInstanceCount": config.maximum_instance_count,
    }
    if config.http_concurrency:
        scale["triggers"] = {"http": {"perInstanceConcurrency": config.http_concurrency}}
    elif state.main.scaled:
        scale["triggers"] = None
    return scale
