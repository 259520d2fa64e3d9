"""The plan that deploys an endpoint's template, as CloudFormation says what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.stacks import DEAD, Deployment, TemplateStack
from onnxferry.infra.templates import what_if

PURPOSE = "deploy the template of"
_WORDS = {
    "AWS::S3::Bucket": "bucket",
    "AWS::IAM::Role": "role",
    "AWS::SageMaker::Model": "model",
    "AWS::SageMaker::EndpointConfig": "endpoint configuration",
    "AWS::SageMaker::Endpoint": "endpoint",
    "AWS::CloudWatch::Alarm": "alarm",
    "AWS::ApplicationAutoScaling::ScalableTarget": "scalable target",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "scaling policy",
}
_ACTIONS = {"Add": Action.CREATE, "Modify": Action.UPDATE, "Remove": Action.DELETE}
_LATER = "KNOWN_AFTER_APPLY"
_AT_WORK = "stack {} is at work ({}): what changes is known when it has ended"
_FROM_ANEW = "stack {} is {}, which only deletion helps: it is deleted, and made anew"


@dataclass(frozen=True)
class Preview:
    """The stack that is `there`, and what CloudFormation would change of it; None where it cannot
    tell yet."""

    there: TemplateStack | None
    changes: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Publication:
    """What an endpoint in the template needs besides: the bucket and the role are made by the
    deployment `foundation`, where they are not there (else None), before the `package` is put
    there; `proof` is the golden request, and `earlier` what was deployed before, or is left where
    the endpoint does not prove itself; None for nothing."""

    foundation: Deployment | None
    package: Step
    proof: Step
    earlier: Deployment | None
    version: str

    def taken_back(self, kind: str, name: str) -> Step:
        """The step that takes away what was made of the endpoint."""
        if self.earlier is None:
            return Step(Action.DELETE, kind, name, "delete_stack")
        return Step(Action.DELETE, kind, name, "put_stack", asdict(self.earlier))


def template_plan(
    names: Names, wanted: Deployment, preview: Preview, published: Publication | None = None
) -> Plan:
    """The steps that deploy `wanted`, with what is `published` around it."""
    there, follow = preview.there, list(_followed(names, wanted.name, preview.changes or ()))
    before = list(_before(wanted.name, there))
    first = list(_foundation(names, published, preview.changes or ())) if published else []
    if preview.changes is not None and not preview.changes:
        deployed = [Step(Action.REUSE, "stack", wanted.name)]
    else:
        later = [_removable(step, published) for step in follow if step not in first]
        deployed = [_deployed(wanted, there, published), *later, _finished(wanted.name)]
    middle = [published.package] if published else []
    proof = [published.proof] if published else []
    steps = (*before, *first, *middle, *deployed, *proof)
    notes = (*_notes(wanted.name, there), *what_if.lines(follow))
    version = published.version if published else ""
    minutes = (5, 15) if published else (1, 5)
    summary = Summary(names.place, version, minutes=minutes, notes=notes, region=names.region)
    return Plan("sagemaker", PURPOSE, names.endpoint, steps, summary, len(before) + len(first))


def nothing_plan(names: Names) -> Plan:
    """Where all that a template without an endpoint makes is given, or `deploy` has made it."""
    there = (("bucket", names.bucket), ("role", names.role_arn))
    steps = tuple(Step(Action.REUSE, kind, name) for kind, name in there)
    notes = ("Bucket and role are there; with --endpoint, the template makes the endpoint.",)
    summary = Summary(names.place, notes=notes, region=names.region)
    return Plan("sagemaker", PURPOSE, names.endpoint, steps, summary)


def _before(name: str, there: TemplateStack | None) -> Iterator[Step]:
    if there and there.at_work:
        yield Step(Action.CHECK, "earlier deployment of stack", name, "settle_stack")
    if there and there.state in DEAD:
        yield Step(Action.DELETE, "stack", name, "delete_stack")


def _notes(name: str, there: TemplateStack | None) -> Iterator[str]:
    if there and there.at_work:
        yield _AT_WORK.format(name, there.state)
    if there and there.state in DEAD:
        yield _FROM_ANEW.format(name, there.state)


def _deployed(
    wanted: Deployment, there: TemplateStack | None, published: Publication | None
) -> Step:
    """What was there before is put back where the endpoint does not prove itself; where there was
    none, it is taken away, and bucket and role stay."""
    made = (there and there.made) or (published and published.foundation)
    step = Step(
        Action.UPDATE if made else Action.CREATE,
        "stack",
        wanted.name,
        "deploy_stack",
        asdict(wanted),
    )
    if published is None:
        return step
    earlier = published.earlier
    if earlier and earlier.values.get("PackageUrl"):
        back = Step(Action.UPDATE, "stack", wanted.name, "put_stack", asdict(earlier))
        return replace(step, restore=back)
    gone = published.taken_back("endpoint of stack", wanted.name)
    return replace(step, removal=gone)


def _removable(step: Step, published: Publication | None) -> Step:
    """What is made of an endpoint goes with what takes that away."""
    if published is None or step.action is not Action.CREATE:
        return step
    return replace(step, removal=published.taken_back(step.resource, step.name))


def _foundation(
    names: Names, published: Publication, changes: Sequence[Mapping[str, Any]]
) -> Iterator[Step]:
    wanted = published.foundation
    if wanted is None:
        return
    yield Step(Action.CREATE, "stack", wanted.name, "deploy_stack", asdict(wanted))
    kinds = ("AWS::S3::Bucket", "AWS::IAM::Role")
    yield from _followed(names, wanted.name, [c for c in changes if c["ResourceType"] in kinds])
    yield _finished(wanted.name)


def _finished(name: str) -> Step:
    return Step(Action.CHECK, "stack", name, "finish_stack")


def _followed(names: Names, stack: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    """A step for each resource that is made, changed or deleted."""
    known = {"PackageBucket": names.bucket, "ExecutionRole": names.role, "Endpoint": names.endpoint}
    for change in changes:
        logical = change["LogicalResourceId"]
        kind = _WORDS.get(change["ResourceType"], change["ResourceType"])
        facts: dict[str, Any] = {"stack": stack, "resource": logical}
        if change["Action"] == "Modify":
            facts["changes"] = list(_differences(change))
        action = _ACTIONS.get(change["Action"], Action.UPDATE)
        yield Step(action, kind, known.get(logical, logical), "follow_stack_resource", facts)


def _differences(change: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What of a resource changes, as far as CloudFormation knows; not what follows from other
    resources."""
    seen = set()
    for detail in change.get("Details", ()):
        target = detail["Target"]
        path = target.get("Path") or target.get("Name") or target["Attribute"]
        after = target.get("AfterValue")
        if path not in seen and _LATER not in str(after):
            seen.add(path)
            said = path.removeprefix("/Properties/").replace("/", ".")
            yield {"path": said, "before": target.get("BeforeValue"), "after": after}
