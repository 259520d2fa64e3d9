"""What a template would change, property by property: what there is against what it says.

Known only later is what `reference` gives: it is shown as the expression, as changed, which it need
not be. What an app's settings are is not shown by its resource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.azure.arm import Arm
from tests.fakes.azure.shapes import ANY
from tests.fakes.azure.templates.expressions import evaluated
from tests.fakes.azure.templates.template import Parsed, Planned

# what a service sets itself, though a body may have it
_SET = {"hostNameSslStates", "provisioningState", "state", "defaultHostName", "enabledHostNames"}


def changes(found: Parsed, arm: Arm) -> Iterator[dict[str, Any]]:
    """A change each resource of the template."""
    for one in found.resources:
        after = evaluated(one.body, found.context, keep=True)
        yield _change(one, arm, after)
    group = found.context.group_id.lower()
    named = {one.id.lower() for one in found.resources}
    for other in arm.store.everything():
        id_ = other["id"].lower()
        if id_.startswith(f"{group}/providers/") and id_ not in named:
            yield {"resourceId": other["id"], "changeType": "Ignore", "before": _plain(other)}


def _change(one: Planned, arm: Arm, after: Any) -> dict[str, Any]:
    before = arm.store.get(one.id)
    facts = {"resourceId": one.id, "after": {"id": one.id, **after}}
    if one.type == "Microsoft.Web/sites/config":  # a GET does not show it
        reason = "Resources of this type are not supported by what-if."
        return {**facts, "changeType": "Unsupported", "unsupportedReason": reason}
    if before is None:
        return {**facts, "changeType": "Create"}
    shape = arm.types[one.type.lower()].shape
    delta = list(_delta(before, after, shape))
    kind = "Modify" if delta else "NoChange"
    return {**facts, "changeType": kind, "before": _plain(before), "delta": delta}


def _delta(before: Any, after: Any, shape: Any) -> Iterator[dict[str, Any]]:
    """By the keys that a body may have; those of the outermost level that are left out stay."""
    keys = {*after, *before} if shape is ANY else {k for k in shape if k in after or k in before}
    for key in sorted(keys - _SET):
        old, new = before.get(key), after.get(key)
        if key == "userAssignedIdentities":  # what each is, the service fills in
            old, new = sorted(old or ()) or None, sorted(new or ()) or None
        inner = ANY if shape is ANY else shape[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            below = list(_delta(old, new, inner if isinstance(inner, Mapping) else ANY))
            if below:
                yield {"path": key, "propertyChangeType": "Modify", "children": below}
        elif new is None and old is not None:
            yield {"path": key, "propertyChangeType": "Delete", "before": old}
        elif old is None and new is not None:
            yield {"path": key, "propertyChangeType": "Create", "after": new}
        elif old != new:
            yield {"path": key, "propertyChangeType": "Modify", "before": old, "after": new}


def _plain(resource: Mapping[str, Any]) -> dict[str, Any]:
    return dict(resource)
