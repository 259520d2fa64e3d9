"""What Azure says that a template would change, as the steps of a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxferry.infra.plan import Action, Step
from onnxferry.infra.templates.arm import Template, TemplateResource

if TYPE_CHECKING:  # another cloud's templates are told in the same lines, without Azure's SDK
    from onnxferry.infra.clients.azure_deployments import ResourceChange

FOLLOW = "follow_resource"
_NOTHING = ("NoChange", "Ignore")
_LONGEST = 120  # characters of one value that are shown


def steps(
    template: Template,
    deployment: str,
    changes: Sequence[ResourceChange] | None,
    failed: Collection[str] = (),
) -> list[Step]:
    """A step each resource of the template that is made, changed or used: it follows the
    `deployment`. Without `changes`, which Azure tells of a group that is there, all are made. Those
    whose ids, in small letters, are among the `failed` are changed, though Azure may see none."""
    if changes is None:
        return [_made(one, deployment) for one in template.resources]
    known = {change.id.lower(): change for change in changes}
    pairs = ((one, known.get(one.id.lower())) for one in template.resources)
    return [
        _step(one, deployment, change, failed=one.id.lower() in failed)
        for one, change in pairs
        if change
    ]


def lines(found: Sequence[Step]) -> Iterator[str]:
    """What changes of which property, for people."""
    for step in found:
        for change in step.parameters.get("changes", ()):
            before, after = (_shown(change.get(key)) for key in ("before", "after"))
            yield f"{step.resource} {step.name}: {change['path']}: {before} -> {after}"
        if reason := step.parameters.get("reason"):
            yield f"{step.resource} {step.name}: Azure cannot tell what changes ({reason})"


def _made(one: TemplateResource, deployment: str) -> Step:
    facts = {"deployment": deployment, "id": one.id}
    return Step(Action.CREATE, one.kind, one.name, FOLLOW, facts)


def _step(one: TemplateResource, deployment: str, change: ResourceChange, *, failed: bool) -> Step:
    if change.kind == "Create":
        return _made(one, deployment)
    found = list(_properties(change.delta))
    same = change.kind in _NOTHING or (change.kind == "Modify" and not found)
    if same and not failed:
        return Step(Action.REUSE, one.kind, one.name)
    facts: dict[str, Any] = {"deployment": deployment, "id": one.id, "changes": found}
    if change.reason:
        facts["reason"] = change.reason
    return Step(Action.UPDATE, one.kind, one.name, FOLLOW, facts)


def _properties(delta: Sequence[Mapping[str, Any]], above: str = "") -> Iterator[dict[str, Any]]:
    """Each property that changes, with its path. Azure cannot tell what `reference` gives, and
    calls it a change: it is none that is known."""
    for one in delta:
        path = f"{above}{one['path']}"
        if one.get("children"):
            yield from _properties(one["children"], f"{path}.")
        elif one["propertyChangeType"] != "NoEffect" and not _unresolved(one.get("after")):
            yield {"path": path, "before": one.get("before"), "after": one.get("after")}


def _unresolved(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("[") and "reference(" in value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
