"""The autoscale setting of a deployment as an ARM template, for those who deploy it by `az ml`: az
deployment group create --template-file autoscale.json --parameters workspace=NAME."""

from __future__ import annotations

from typing import Any

from onnxferry.infra.azureml.scaling.settings import Place, setting
from onnxferry.infra.azureml.scaling.target import scaled
from onnxferry.infra.clients.azure_monitor import AUTOSCALE_VERSION
from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.scripts.rehearse.record import RehearsalRecord

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_ENDPOINT = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
_OF = "parameters('workspace'), parameters('endpoint')"


def autoscale_template(
    settings: AzureML, record: RehearsalRecord | None, endpoint: str, deployment: str
) -> dict[str, Any] | None:
    """The template, with the workspace, the endpoint and the deployment as parameters; None where
    `settings` scale by nothing of Azure Monitor's. `record` is of the package's last rehearsal, if
    there was one."""
    how = scaled(settings, record)
    if how is None:
        return None
    place = Place(
        endpoint=f"[resourceId('{_ENDPOINT}', {_OF})]",
        deployment=f"[resourceId('{_ENDPOINT}/deployments', {_OF}, parameters('deployment'))]",
        name="[parameters('deployment')]",
        location="[parameters('location')]",
    )
    name = "[format('autoscale-{0}-{1}', parameters('endpoint'), parameters('deployment'))]"
    resource = {
        "type": "Microsoft.Insights/autoscaleSettings",
        "apiVersion": AUTOSCALE_VERSION,
        "name": name,
        "location": place.location,
        "properties": setting(name, place, how),
    }
    return {
        "$schema": _SCHEMA,
        "contentVersion": "1.0.0.0",
        "parameters": {
            "workspace": _text(settings.workspace),
            "endpoint": _text(endpoint),
            "deployment": _text(deployment),
            "location": _text("[resourceGroup().location]"),
        },
        "resources": [resource],
    }


def _text(default: str) -> dict[str, Any]:
    return {"type": "string", "defaultValue": default}
