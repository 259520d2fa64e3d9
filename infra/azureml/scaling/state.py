"""What Azure Monitor has of autoscale settings for one endpoint's deployments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.clients.azure_monitor import AutoscaleSetting, Monitor
from onnxferry.infra.errors import NotAllowed, Refused


@dataclass(frozen=True)
class FoundSetting:
    """A setting of a `deployment`, which may be gone, and whether it is ours."""

    name: str
    deployment: str
    properties: Mapping[str, Any]
    tags: Mapping[str, str]
    ours: bool


@dataclass(frozen=True)
class FoundScaling:
    """The settings; `unread` says why they may not be looked at, "" where they may."""

    settings: tuple[FoundSetting, ...] = ()
    unread: str = ""

    def of(self, deployment: str) -> FoundSetting | None:
        """Ours of a deployment; another's where that is there."""
        there = sorted(self._of(deployment), key=lambda one: one.ours)
        return there[-1] if there else None

    def ours(self, deployment: str) -> FoundSetting | None:
        """That which we made for a deployment."""
        return next((one for one in self._of(deployment) if one.ours), None)

    def _of(self, deployment: str) -> list[FoundSetting]:
        return [one for one in self.settings if one.deployment == deployment]


def read(monitor: Monitor, names: Names) -> FoundScaling:
    """The settings in the workspace's resource group of what the endpoint has or had."""
    try:
        there = monitor.autoscale_settings(names.group)
    except (NotAllowed, Refused) as e:  # a subscription may be without Azure Monitor
        return FoundScaling(unread=str(e))
    found = (found_of(names, one) for one in there)
    return FoundScaling(tuple(one for one in found if one))


def found_of(names: Names, setting: AutoscaleSetting) -> FoundSetting | None:
    """A setting, where it is of a deployment of the endpoint."""
    start = re.escape(names.deployment_id(""))
    target = re.fullmatch(f"{start}([^/]+)", setting.target, re.IGNORECASE)
    if target is None:
        return None
    named = setting.name.lower() == names.autoscale(target[1]).lower()
    ours = named and names.is_ours(setting.tags)
    return FoundSetting(setting.name, target[1], setting.properties, setting.tags, ours)
