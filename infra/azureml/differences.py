"""Whether a deployment that is there is what it shall be: somebody may have changed it in Azure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.clients.azureml_endpoints import EGRESS
from onnxferry.infra.clients.azureml_types import ManagedDeployment
from onnxferry.infra.errors import Refused

_OPEN = "enabled"  # what Azure takes where nothing is said


def differs(found: ManagedDeployment, wanted: Mapping[str, Any]) -> bool:
    """Whether somebody has changed a setting that deployment.yml's `wanted` sets."""
    if found.instance_type != wanted["instance_type"]:
        return True
    tables = {key: said for key, said in wanted.items() if isinstance(said, Mapping)}
    return any(
        not _plain(said).items() <= _plain(found.settings[key]).items()
        for key, said in tables.items()
        if key in found.settings
    )


def check_fixed(names: Names, found: ManagedDeployment, wanted: Mapping[str, Any]) -> None:
    """Raise Refused where what is there cannot be made what is `wanted`."""
    asked, said = wanted.get(EGRESS, _OPEN), found.settings.get(EGRESS, _OPEN)
    if asked != said:
        raise Refused(
            f"{names.where}: {EGRESS} of deployment {found.name} is {said}, and shall be {asked},"
            " but Azure fixes it when a deployment is made, so somebody has made this one anew."
            " Delete it, once another one takes its traffic; or set network.egress in [azureml] of"
            " deploy.toml as it is"
        )


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """With times in whole seconds: azure-ai-ml reads no parts of one."""
    return {
        key: value // 1000 if key.endswith("_ms") and value is not None else value
        for key, value in table.items()
    }
