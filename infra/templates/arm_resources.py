"""The resources of Azure's templates: what all of them have, and role assignments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients import azure_bodies as bodies
from onnxferry.infra.clients import azure_roles
from onnxferry.infra.clients.azure_roles import Principal, assignment_name
from onnxferry.infra.templates.arm import TemplateResource, call, expression, quoted

ROLES_TYPE = "Microsoft.Authorization/roleAssignments"
_DEFINITIONS = "Microsoft.Authorization/roleDefinitions"


def resource(kind: str, id_: str, document: Mapping[str, Any], name: str = "") -> TemplateResource:
    """The resource of that id, with what tells of it first, then its body."""
    provider, *parts = id_.rpartition("/providers/")[2].split("/")
    type_ = "/".join((provider, *parts[::2]))
    return TemplateResource(kind, name or last(id_), id_, {"type": type_, **document})


def after(*ids: str) -> dict[str, Any]:
    """What must be there before: the ids, as expressions."""
    return {"dependsOn": [expression(id_) for id_ in ids]}


def last(id_: str) -> str:
    """The name in an id."""
    return id_.rpartition("/")[2]


@dataclass(frozen=True)
class Assignee:
    """Who gets roles: `who` for a plan, and in expressions the object id `principal`, what the
    assignments are `named` after, and their description, `said`. They are made only where the
    expression `condition` holds; `before` are the ids of what must be there first. `kind` is a
    value: User, Group or ServicePrincipal."""

    who: Principal
    principal: str
    named: str
    said: str
    kind: str = "ServicePrincipal"
    condition: str = ""
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Over what a role is given, a resource or the resource group: its id, and the same as an
    expression; `before` are the ids, as expressions, of what must be there first."""

    id: str
    expression: str
    before: tuple[str, ...] = ()


def role_assignment(role: str, scope: Scope, to: Assignee, name: str) -> TemplateResource:
    """The assignment of a `role`, which a plan calls `name`."""
    guid, before = azure_roles.ROLES[role], (*to.before, *scope.before)
    parts = (call("toLower", scope.expression), call("toLower", to.named), quoted(guid))
    head: dict[str, Any] = {"condition": expression(to.condition)} if to.condition else {}
    head["apiVersion"] = azure_roles.API_VERSION
    if "/providers/" in scope.id:  # else the deployment's own
        head["scope"] = expression(scope.expression)
    head |= {"name": expression(call("guid", *parts)), **(after(*before) if before else {})}
    definition = expression(call("subscriptionResourceId", quoted(_DEFINITIONS), quoted(guid)))
    facts = (definition, expression(to.principal), to.kind, expression(to.said))
    id_ = f"{scope.id}/providers/{ROLES_TYPE}/{assignment_name(scope.id, role, to.who)}"
    return resource("role assignment", id_, head | bodies.role_assignment(*facts), name)
