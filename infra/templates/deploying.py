"""The steps that deploy a template of Azure's over what is there, previewed by Azure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxferry.infra.plan import Action, Step
from onnxferry.infra.templates.arm import Template
from onnxferry.infra.templates.following import ENDED

if TYPE_CHECKING:
    from onnxferry.infra.clients.azure_deployments import Deployments, ResourceChange

PURPOSE = "deploy the template of"
DEPLOYMENT = "template deployment"
_LONGEST = 64  # characters of a deployment's name


@dataclass(frozen=True)
class Preview:
    """`changes` are what Azure says that a template would change, None where there is no group to
    ask about; `at_work` is whether an earlier deployment of it still is."""

    changes: Sequence[ResourceChange] | None = None
    at_work: bool = False


def deployment_name(name: str) -> str:
    """Of the template of the app or workspace `name`, each time the same: so that two never run at
    once."""
    end = "-onnxferry"
    return f"{name[: _LONGEST - len(end)]}{end}"


def preview(
    deployments: Deployments, name: str, template: Template, values: Mapping[str, Any]
) -> Preview:
    """What Azure says of deploying `template` as the deployment `name`."""
    changes = deployments.what_if(name, template.document, values)
    return Preview(changes, deployments.state(name) not in ("", *ENDED))


def awaited(name: str) -> Step:
    """Waits for the end of an earlier deployment."""
    facts = {"deployment": name}
    return Step(Action.CHECK, f"earlier {DEPLOYMENT}", name, "wait_for_template", facts)


def steps(name: str, found: Sequence[Step], facts: Mapping[str, Any]) -> list[Step]:
    """Begin the deployment `name`, follow what is `found` by its preview, and wait for its end;
    nothing where all is as the template says. `facts` are what beginning it needs besides."""
    if all(step.action is Action.REUSE for step in found):
        return list(found)
    own = {"deployment": name}
    begin = Step(Action.UPDATE, DEPLOYMENT, name, "begin_template", {**own, **facts})
    return [begin, *found, Step(Action.CHECK, DEPLOYMENT, name, "finish_template", own)]
