"""A template with its parameters' values: read and checked as the resource manager does before it
makes anything, and stricter: what a resource refers to must be in its dependsOn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.templates.expressions import Context, TemplateError, Unresolved, evaluated

_KEYS = {"$schema", "contentVersion", "parameters", "variables", "resources", "outputs"}
_PARAMETER = {"type", "defaultValue", "allowedValues", "metadata"}
_HEAD = {"type", "apiVersion", "name", "scope", "condition", "dependsOn"}
_KINDS: Mapping[str, type] = {
    "string": str,
    "int": int,
    "bool": bool,
    "object": dict,
    "secureObject": dict,
    "array": list,
}
VERSIONS: Mapping[str, str] = {  # API versions that the providers know here
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.ContainerRegistry/registries": "2023-07-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.MachineLearningServices/workspaces": "2025-12-01",
    "Microsoft.MachineLearningServices/workspaces/computes": "2025-12-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
    "Microsoft.Storage/storageAccounts": "2025-01-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2025-01-01",
    "Microsoft.Web/serverfarms": "2024-11-01",
    "Microsoft.Web/sites": "2024-11-01",
    "Microsoft.Web/sites/config": "2024-11-01",
}
_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_ID = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^\s\[\]]+", re.IGNORECASE)


@dataclass
class Planned:
    """One resource of a template: what it depends on, as ids, and `document` with its
    expressions."""

    id: str
    type: str
    version: str
    after: list[str]
    document: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """What its provider is sent, with expressions."""
        return {key: value for key, value in self.document.items() if key not in _HEAD}


@dataclass
class Parsed:
    """A template with values; `resources` are those whose condition holds."""

    context: Context
    resources: list[Planned] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def parsed(properties: Mapping[str, Any], context: Context) -> Parsed:
    """The template in a deployment's `properties`. Raises TemplateError."""
    try:
        return _parsed(properties, context)
    except Unresolved as e:
        raise TemplateError(f"The template function 'reference' is not expected here: {e}") from e


def _parsed(properties: Mapping[str, Any], context: Context) -> Parsed:
    if unknown := set(properties) - {"template", "parameters", "mode", "whatIfSettings"}:
        raise TemplateError(f"unknown properties {sorted(unknown)}")
    if properties.get("mode") != "Incremental":
        raise TemplateError("mode: only Incremental is done here")
    template = properties["template"]
    if set(template) - _KEYS or template.get("$schema") != _SCHEMA:
        raise TemplateError(f"the template has other keys, or another schema: {sorted(template)}")
    context.parameters = _values(template.get("parameters", {}), properties, context)
    context.variables = template.get("variables", {})
    for name in context.variables:  # each, used or not
        evaluated(context.variables[name], context)
    found = Parsed(context, outputs=template.get("outputs", {}))
    for document in template["resources"]:
        _add(found, document)
    ids = [one.id.lower() for one in found.resources]
    if twice := {id_ for id_ in ids if ids.count(id_) > 1}:
        raise TemplateError(f"The resource {twice} at line '1' is defined multiple times.")
    for one in found.resources:
        _check(one, found)
    return found


def _values(
    declared: Mapping[str, Any], properties: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    given = {name: value["value"] for name, value in (properties.get("parameters") or {}).items()}
    if unknown := set(given) - set(declared):
        raise TemplateError(f"The template parameters {sorted(unknown)} are not valid.")
    values = {}
    for name, facts in declared.items():
        if set(facts) - _PARAMETER:
            raise TemplateError(f"parameter {name}: {sorted(facts)}")
        if name not in given and "defaultValue" not in facts:
            raise TemplateError(f"The value for the template parameter '{name}' is not provided.")
        default = evaluated(facts.get("defaultValue"), context)
        values[name] = value = given.get(name, default)
        if not isinstance(value, _KINDS[facts["type"]]):
            raise TemplateError(f"parameter {name}: {facts['type']} is expected, got {value!r}")
        if value not in facts.get("allowedValues", [value]):
            raise TemplateError(f"The value of parameter '{name}' is not allowed: {value!r}")
    return values


def _add(found: Parsed, document: Mapping[str, Any]) -> None:
    context = found.context
    head = {key: evaluated(document[key], context) for key in _HEAD if key in document}
    type_, version = head["type"], head["apiVersion"]
    if VERSIONS.get(type_) != version:
        raise TemplateError(
            f"No registered resource provider found for API version '{version}' of type '{type_}'."
            f" The supported api-versions are '{VERSIONS.get(type_)}'."
        )
    provider, *kinds = type_.split("/")
    names = head["name"].split("/")
    if len(kinds) != len(names):
        raise TemplateError(f"The name '{head['name']}' has not as many segments as '{type_}'.")
    below = "/".join(part for pair in zip(kinds, names, strict=True) for part in pair)
    id_ = f"{head.get('scope', context.group_id)}/providers/{provider}/{below}"
    if head.get("condition", True) is not True:
        found.left_out.append(id_.lower())
        return
    after = [one.lower() for one in head.get("dependsOn", [])]
    found.resources.append(Planned(id_, type_, version, after, document))


def _check(one: Planned, found: Parsed) -> None:
    """That it depends on all resources of the template that it refers to."""
    known = {other.id.lower(): other for other in found.resources}
    if unknown := set(one.after) - set(known) - set(found.left_out):
        raise TemplateError(f"The resource {sorted(unknown)} is not defined in the template.")
    before = set(_before(one, known))
    missing = {id_ for id_ in _referred(one, found.context) if id_ in known} - before
    missing -= {one.id.lower()}
    if missing:
        raise TemplateError(f"{one.id}: not in its dependsOn: {sorted(missing)}")


def _before(one: Planned, known: Mapping[str, Planned]) -> Iterator[str]:
    for id_ in one.after:
        if id_ == one.id.lower():
            raise TemplateError(f"Circular dependency detected on resource: '{one.id}'.")
        yield id_
        if id_ in known:
            yield from _before(known[id_], known)


def _referred(one: Planned, context: Context) -> Iterator[str]:
    """The ids that its parts name, and those of what it is below of."""
    context.asked.clear()
    value = evaluated(one.body, context, keep=True)
    yield from (id_.lower() for id_ in context.asked)
    yield from (id_.lower() for id_ in _ids(value))
    parent = one.id.rpartition("/providers/")[0] if "scope" in one.document else one.id
    while "/providers/" in parent:
        yield parent.lower()
        parent = parent.rpartition("/")[0]


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for pair in value.items():
            yield from _ids(list(pair))
    elif isinstance(value, list):
        for inner in value:
            yield from _ids(inner)
    elif isinstance(value, str) and _ID.fullmatch(value):
        yield value


def unresolved(id_: str, version: str, full: bool) -> Any:
    """What `reference` is before anything is made."""
    raise Unresolved(id_)
