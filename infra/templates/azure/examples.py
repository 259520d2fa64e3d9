"""The templates of this folder, for any app and any workspace, with names and ids that must be
given: by the defaults of deploy.toml, and of an app one with a network, an identity and sign-in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.infra.azureml.workspace.names import WorkspaceNames
from onnxferry.infra.azureml.workspace.template import template as workspace_template
from onnxferry.infra.functions.names import Names
from onnxferry.infra.functions.template import (
    desired_by,
    nothing_there,
    template,
    unknown_surroundings,
)
from onnxferry.infra.target_tables import AzureML, Functions
from onnxferry.scripts.package import drafted, layout_of

_ZEROS = "00000000-0000-0000-0000-000000000000"
_GIVEN = f"/subscriptions/{_ZEROS}/resourceGroups/group/providers"
_NAMES = ("app", "storageAccount")
_PRIVATE = {
    "subnet": f"{_GIVEN}/Microsoft.Network/virtualNetworks/network/subnets/apps",
    "identity": f"{_GIVEN}/Microsoft.ManagedIdentity/userAssignedIdentities/serving",
    "auth": "entra",
    "entra_client_id": _ZEROS,
    "always_ready": 1,
}


def texts() -> dict[Path, str]:
    """The text that each file should have."""
    private = _functions(_PRIVATE, "subnet", "identity", "entraClientId", "entraAudiences")
    made = {"functions.json": _functions({}), "functions-private.json": private}
    made["azureml.json"] = _workspace()
    return {Path(__file__).parent / name: text for name, text in made.items()}


def _functions(settings: Mapping[str, Any], *given: str) -> str:
    """With these settings; the parameters of names and those `given` have no defaults."""
    names = Names(_ZEROS, "group", "app")
    known: dict[str, Any] = {"subscription": _ZEROS, "resource_group": names.group, **settings}
    config = Functions(**known)
    package, around = drafted(None, layout_of("functions")), unknown_surroundings(config)
    desired = desired_by(config, nothing_there(names), package, around)
    return template(desired, names, config, {}).without_defaults((*_NAMES, *given)).text


def _workspace() -> str:
    """The parameters of names have no defaults."""
    names = WorkspaceNames(_ZEROS, "group", "workspace")
    known = {"subscription": _ZEROS, "resource_group": names.group, "workspace": names.workspace}
    found = workspace_template(names, AzureML(**known), {})
    return found.without_defaults(("workspace", "storageAccount", "keyVault", "registry")).text
