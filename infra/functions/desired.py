"""What shall be there for a bundle, as deploy.toml says: the app's configuration, and its
environment variables, which Azure calls app settings.

Variables of ours stand beside settings that the user and the platform made. Those may be secrets:
no plan holds their values. One setting of ours keeps the names of our variables, so that a variable
that leaves deploy.toml leaves the app, too. Where a variable takes the place of a user's setting,
that is set aside in the app, under another name, until the variable goes again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import Functions
from onnxferry.infra.functions.names import MADE, container
from onnxferry.infra.functions.state import CurrentState

RECORD = "ONNXFERRY_ENVIRONMENT"  # the setting with our variables' names, separated by spaces
_ASIDE = "ONNXFERRY_SET_ASIDE_"  # before the name of a user's setting that was set aside


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
            **_recorded(self.environment),
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


def setting_changes(found: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """How the settings `found` become those of `environment`, as names, and values of ours to set;
    {} when they are so."""
    wanted, ours = _recorded(environment), {*found.get(RECORD, "").split(), RECORD}
    differ = {name: value for name, value in wanted.items() if found.get(name) != value}
    gone = [name for name in sorted(ours) if name in found and name not in wanted]
    return _without_empty(
        {
            "set": differ,
            "remove": [name for name in gone if _ASIDE + name not in found],
            "set_aside": [name for name in differ if name in found and name not in ours],
            "put_back": [name for name in gone if _ASIDE + name in found],
        }
    )


def reverse(found: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that undo `changes` of the settings `found`."""
    aside, put_back = changes.get("set_aside", []), changes.get("put_back", [])
    set_, remove = changes.get("set", {}), changes.get("remove", [])
    ours = [name for name in (*set_, *remove, *put_back) if name in found and name not in aside]
    return _without_empty(
        {
            "set": {name: found[name] for name in ours},
            "remove": [name for name in set_ if name not in found],
            "set_aside": put_back,
            "put_back": aside,
        }
    )


def changed(found: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """All settings of the app, once `changes` are made to `found`."""
    settings = dict(found)
    for name in changes.get("set_aside", ()):
        if name in settings:
            settings.setdefault(_ASIDE + name, settings.pop(name))
    for name in changes.get("remove", ()):
        settings.pop(name, None)
    for name in changes.get("put_back", ()):
        if _ASIDE + name in settings:
            settings[name] = settings.pop(_ASIDE + name)
    return {**settings, **changes.get("set", {})}


def _recorded(environment: Mapping[str, str]) -> dict[str, str]:
    return {**environment, RECORD: " ".join(sorted(environment))} if environment else {}


def _without_empty(changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in changes.items() if value}
