"""A workspace with what it stands on as an Azure Resource Manager template: what deploy.toml says
becomes the default values of its parameters, from which names and ids follow.

Deployed over what is there, a template says all: tags of others are handed in again, as the
parameter `kept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.azureml.workspace import bodies
from onnxferry.infra.azureml.workspace.names import DEPLOYED, MADE, PARTS, WorkspaceNames
from onnxferry.infra.azureml.workspace.resources import Resources, part_id
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.templates.arm import (
    Template,
    call,
    declared,
    expression,
    literal,
    parameter,
    quoted,
)

Tags = Mapping[str, Mapping[str, str]]  # by the keys of PARTS
CLUSTER = "batch-cluster"
_NOW = "[utcNow('yyyy-MM-ddTHH:mm:ss+00:00')]"
_KINDS = ["ServicePrincipal", "User", "Group"]
_TEXTS = {
    "workspace": "Name of the workspace.",
    "storageAccount": "Name of the storage account, which all of Azure shares.",
    "keyVault": "Name of the key vault, which all of Azure shares.",
    "registry": "Name of the container registry, which all of Azure shares.",
    "location": "Region; default: the resource group's.",
    "tags": "Tags put on every resource.",
    "deployed": "When this is; a tag says so of what is made.",
    "deployer": "Object id of who may deploy endpoints; empty: nobody is given a role.",
    "deployerType": "What the deployer is.",
    "deployerScales": "Whether the deployer may set autoscaling, which needs a role on the group.",
    "identity": "Resource id of the identity that endpoints run as; it is there.",
    "identityWrites": "Whether the endpoints' identity may write blobs, as the data collector and"
    " batch jobs need; else it reads them.",
    "publicNetworkAccess": "Who reaches the workspace; Disabled: by private endpoints of yours.",
    "sharedKeys": "Whether the storage account's keys open it, and the workspace uses them.",
    "registrySku": "Tier of the container registry.",
    "vaultRetentionDays": "Days for which a deleted key vault can be recovered, 7 to 90.",
    "vaultRecover": "Recover the key vault of that name, which was deleted.",
    "batchCluster": "Whether to make a compute cluster for batch jobs.",
    "batchCompute": "Name of the compute cluster.",
    "batchSize": "VM size of the compute cluster.",
    "batchLowPriority": "Make it of low-priority instances.",
    "batchNodes": "Most instances of the compute cluster.",
    "kept": "Tags that the resources have and keep.",
}
_CHOICES: Mapping[str, list[Any]] = {
    "deployerType": _KINDS,
    "publicNetworkAccess": ["Enabled", "Disabled"],
    "registrySku": ["Basic", "Standard", "Premium"],
}


def template(names: WorkspaceNames, config: AzureML, kept: Tags, deployer: str = "") -> Template:
    """The template of the workspace of `names`, with defaults by `config`, and the tags that are
    `kept`. The ids of its resources are those for `deployer`, an object id."""
    given = _given(names, config)
    parameters = _parameters(names, config, kept)
    if given:
        parameters["identity"] = given
    declarations = {
        name: declared(value, _TEXTS[name], **_choices(name)) for name, value in parameters.items()
    }
    found = Resources(names, given, deployer, parameters["batchCompute"])
    outputs = {"workspace": part_id("workspace"), "identity": found.identity}
    shown = {key: {"type": "string", "value": expression(id_)} for key, id_ in outputs.items()}
    return Template(declarations, _variables(), tuple(found.all()), shown)


def _given(names: WorkspaceNames, config: AzureML) -> str:
    """The identity of deploy.toml; "" where it is the one that the template makes."""
    own = names.id("identity").lower()
    return config.identity if config.identity and config.identity.lower() != own else ""


def _parameters(names: WorkspaceNames, config: AzureML, kept: Tags) -> dict[str, Any]:
    """The default values."""
    batch, collects = config.batch, config.capture is not None
    return {
        "workspace": names.workspace,
        "storageAccount": names.name("account"),
        "keyVault": names.name("vault"),
        "registry": names.name("registry"),
        "location": "[resourceGroup().location]",
        "tags": literal(dict(config.tags)),
        "deployed": _NOW,
        "deployer": "",
        "deployerType": _KINDS[0],
        "deployerScales": config.scaling is not None,
        "identityWrites": collects or bool(batch.compute),
        "publicNetworkAccess": "Enabled",
        "sharedKeys": False,
        "registrySku": "Basic",
        "vaultRetentionDays": 90,
        "vaultRecover": False,
        "batchCluster": bool(batch.compute),
        "batchCompute": batch.compute or CLUSTER,
        "batchSize": batch.instance_type,
        "batchLowPriority": batch.low_priority,
        "batchNodes": 4,
        "kept": {part: literal(dict(kept.get(part, {}))) for part in PARTS},
    }


def _variables() -> dict[str, Any]:
    plain = call("replace", parameter("workspace"), quoted("_"), quoted("-"))
    marks = (quoted(MADE), parameter("workspace"), quoted(DEPLOYED), parameter("deployed"))
    own = call("createObject", *marks)
    tags = expression(call("union", parameter("tags"), own))
    vault = bodies.vault_properties(expression(parameter("vaultRetentionDays")))
    return {"plain": expression(plain), "tags": tags, "vault": vault}


def _choices(name: str) -> dict[str, Any]:
    return {"allowedValues": _CHOICES[name]} if name in _CHOICES else {}
