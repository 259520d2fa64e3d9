"""Whom the pipeline signs in as on Azure: an application that may look, for its plans, and one that
may deploy, each with the permissions of its files in infra/policies. On GitHub each has a
federated credential for one environment; on Azure DevOps the service connection makes its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.policies import ROLES

_FOLDER = Path(__file__).parents[1] / "policies"
_PLACE = re.compile(r"\b(SUBSCRIPTION|GROUP)\b")
_SCOPES = {"": "/resourceGroups/{group}", "-subscription": ""}  # of a role's two files


def credential(pipeline: DeliveryPipeline, role: str) -> dict[str, Any]:
    """The federated credential of the tokens of one environment."""
    environment = pipeline.environments[role]
    return {
        "name": environment,
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": f"repo:{pipeline.repository}:environment:{environment}",
        "audiences": ["api://AzureADTokenExchange"],
    }


def files(pipeline: DeliveryPipeline) -> dict[str, str]:
    """The definitions of the roles, and on GitHub the credentials."""
    values = {
        "SUBSCRIPTION": pipeline.settings.subscription,
        "GROUP": pipeline.settings.resource_group,
    }
    found = {}
    for role in ROLES:
        for suffix in _SCOPES:
            text = (_FOLDER / f"{pipeline.target}-{role}{suffix}.json").read_text(encoding="utf-8")
            found[f"{role}{suffix}-role.json"] = _PLACE.sub(lambda word: values[word[0]], text)
        if pipeline.provider == "github":
            made = json.dumps(credential(pipeline, role), indent=2)
            found[f"{role}-credential.json"] = made + "\n"
    return found


def commands(pipeline: DeliveryPipeline, folder: str) -> str:
    """What makes the applications and the roles, and assigns these."""
    made = "\n".join(_commands(pipeline, folder, role) for role in ROLES)
    return f"""\
## Azure subscription {pipeline.settings.subscription}

Signed in by `az login` as somebody who may make roles and assign them, and applications:

```bash
{made}```
"""


def _commands(pipeline: DeliveryPipeline, folder: str, role: str) -> str:
    environment = pipeline.environments[role]
    if pipeline.provider == "github":
        repository = re.sub(r"@\d+", "", pipeline.repository)
        set_ = f"gh variable set --repo {repository} --env {environment} --body"
        who = f"""\
client="$(az ad app create --display-name {environment} --query appId --output tsv)"
az ad sp create --id "$client"
az ad app federated-credential create --id "$client" --parameters {folder}/{role}-credential.json
{set_} "$client" AZURE_CLIENT_ID
{set_} "$(az account show --query tenantId --output tsv)" AZURE_TENANT_ID
"""
    else:
        who = f"client=...  # the application of the service connection {environment}\n"
    return who + "".join(_assigned(pipeline, folder, role, suffix) for suffix in _SCOPES)


def _assigned(pipeline: DeliveryPipeline, folder: str, role: str, suffix: str) -> str:
    settings = pipeline.settings
    scope = f"/subscriptions/{settings.subscription}" + _SCOPES[suffix].format(
        group=settings.resource_group
    )
    return f"""\
az role definition create --role-definition {folder}/{role}{suffix}-role.json
az role assignment create --assignee "$client" \\
    --role "onnxferry {pipeline.target}-{role}{suffix}" --scope {scope}
"""
