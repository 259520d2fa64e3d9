"""How a job signs in, by provider and cloud: with a token that the provider signs for it, and never
with a key. On GitHub a step signs the whole job in, on Azure DevOps a task signs its script in.

Azure takes such a token for some minutes, and gives others for it for an hour or so. A deployment
may need one later, so its job signs in again and again meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxferry.infra.ci.aws import role_arn
from onnxferry.infra.ci.delivery import DeliveryPipeline

Step = dict[str, Any]
Uses = Callable[..., Step]


def github(pipeline: DeliveryPipeline, role: str, uses: Uses) -> list[Step]:
    """The steps that sign a job of GitHub Actions in."""
    cloud = _cloud(pipeline)
    keeps = cloud == "azure" and role == "deployer"
    return [_GITHUB[cloud](pipeline, role, uses), *([dict(_KEPT)] if keeps else [])]


def azure_devops(pipeline: DeliveryPipeline, role: str, title: str, file: str) -> Step:
    """The task of Azure Pipelines that runs a `file` beside the pipeline signed in."""
    path = f".azuredevops/{pipeline.title}/{file}"
    made = _AZURE_DEVOPS[_cloud(pipeline)](pipeline, role, path)
    return {**made, "displayName": title}


def _cloud(pipeline: DeliveryPipeline) -> str:
    from onnxferry.targets import TARGETS

    return TARGETS[pipeline.target].extra


def _github_aws(pipeline: DeliveryPipeline, role: str, uses: Uses) -> Step:
    return uses(
        "aws-actions/configure-aws-credentials",
        role_to_assume=role_arn(pipeline, role),
        aws_region=pipeline.settings.region,
        role_duration_seconds=pipeline.seconds,
        role_session_name="onnxferry-${{ github.run_id }}",
    )


_AGAIN = r"""
set -euo pipefail
renewed() {
  asked="$ACTIONS_ID_TOKEN_REQUEST_URL&audience=api://AzureADTokenExchange"
  signed="Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN"
  curl --silent --show-error --fail --header "$signed" "$asked" |
    python -c 'import json, sys; print(json.load(sys.stdin)["value"])'
}
(
  while sleep 240; do
    az login --service-principal --username "$CLIENT" --tenant "$TENANT" \
      --federated-token "$(renewed)" --output none || echo "signing in again failed"
  done
) > "$RUNNER_TEMP/sign-in.log" 2>&1 &
"""
_KEPT: Step = {
    "name": "Stay signed in",
    "run": _AGAIN.lstrip(),
    "env": {"CLIENT": "${{ vars.AZURE_CLIENT_ID }}", "TENANT": "${{ vars.AZURE_TENANT_ID }}"},
}


def _github_azure(pipeline: DeliveryPipeline, role: str, uses: Uses) -> Step:
    """The ids are variables of the environment: they are known once the identities are made."""
    return uses(
        "azure/login",
        client_id="${{ vars.AZURE_CLIENT_ID }}",
        tenant_id="${{ vars.AZURE_TENANT_ID }}",
        subscription_id=pipeline.settings.subscription,
    )


def _azure_devops_aws(pipeline: DeliveryPipeline, role: str, path: str) -> Step:
    inputs = {
        "awsCredentials": pipeline.environments[role],
        "regionName": pipeline.settings.region,
        "scriptType": "filePath",
        "filePath": path,
        "disableAutoCwd": True,
        "workingDirectory": "$(Build.SourcesDirectory)",
    }
    return {"task": "AWSShellScript@1", "inputs": inputs}


def _azure_devops_azure(pipeline: DeliveryPipeline, role: str, path: str) -> Step:
    inputs: dict[str, Any] = {
        "azureSubscription": pipeline.environments[role],
        "scriptType": "bash",
        "scriptLocation": "scriptPath",
        "scriptPath": path,
        "workingDirectory": "$(Build.SourcesDirectory)",
    }
    if role == "deployer":
        inputs["keepAzSessionActive"] = True
    return {"task": "AzureCLI@2", "inputs": inputs}


_GITHUB = {"aws": _github_aws, "azure": _github_azure}
_AZURE_DEVOPS = {"aws": _azure_devops_aws, "azure": _azure_devops_azure}
