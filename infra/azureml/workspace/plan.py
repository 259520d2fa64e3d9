"""The plan that deploys a workspace's template over what is there, previewed by Azure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxferry.infra.azureml.workspace.names import MADE, PARTS, WorkspaceNames
from onnxferry.infra.azureml.workspace.state import WorkspaceState
from onnxferry.infra.clients.azure_roles import Principal
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.templates import deploying, what_if
from onnxferry.infra.templates.arm import Template
from onnxferry.infra.templates.deploying import PURPOSE, Preview, deployment_name

_RECOVERED = (
    "key vault {} was deleted, and Azure keeps it: it is recovered, with what is in it, since its"
    " name is not free otherwise"
)
_UNKNOWN = (
    "whether a key vault {} was deleted, whose name is then not free, could not be read:"
    " Microsoft.KeyVault/locations/deletedVaults/read on the subscription is missing"
)


def kept_tags(state: WorkspaceState, config: AzureML) -> dict[str, dict[str, str]]:
    """The tags of each part that the template does not set itself."""
    own = {name.lower() for name in (*config.tags, MADE)}
    return {
        part: {name: value for name, value in found.tags.items() if name.lower() not in own}
        for part, found in state.parts.items()
    }


def values(state: WorkspaceState, deployer: Principal) -> dict[str, Any]:
    """The parameters of a deployment that no default value says."""
    given = {"deployer": deployer.id, "deployerType": deployer.kind}
    return {**given, **({"vaultRecover": True} if state.deleted else {})}


def template_plan(
    names: WorkspaceNames,
    state: WorkspaceState,
    template: Template,
    given: Mapping[str, Any],
    preview: Preview,
) -> Plan:
    """The steps that deploy `template` with the parameters `given`."""
    deployment = deployment_name(names.workspace)
    first = [deploying.awaited(deployment)] if preview.at_work else []
    found = what_if.steps(template, deployment, preview.changes, state.failed)
    facts = {"template": template.document, "values": dict(given)}
    steps = deploying.steps(deployment, found, facts)
    if len(steps) > len(found):
        name = names.name("account")
        steps.append(Step(Action.CHECK, "access to storage account", name, "open_storage"))
    made = [step for step in found if step.action is Action.CREATE]
    notes = (*what_if.lines(found), *_notes(names, state.deleted), *_identity(names, made))
    where = f"resource group {names.group}, {state.location}"
    summary = Summary(where, minutes=(3, 10), notes=notes)
    whole = (*first, *steps)
    return Plan("azureml", PURPOSE, f"workspace {names.workspace}", whole, summary, len(first))


def _notes(names: WorkspaceNames, deleted: bool | None) -> list[str]:
    vault = names.name("vault")
    return {True: [_RECOVERED.format(vault)], None: [_UNKNOWN.format(vault)]}.get(deleted, [])


def _identity(names: WorkspaceNames, made: Sequence[Step]) -> list[str]:
    """How endpoints come to run as the identity that is made."""
    id_ = names.id("identity")
    told = f'endpoints run as {names.name("identity")} with identity = "{id_}" in [azureml]'
    return [told] if any(step.resource == PARTS["identity"].kind for step in made) else []
