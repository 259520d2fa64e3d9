"""CloudFormation, strict where moto is not: change sets that say what changes, stacks that go on by
themselves and take their time, resources that are replaced, roll-backs, and what a stack in each
state refuses. It calls the services as its caller (see stack_resources)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.fakes.aws.answers import Answer, Refusal
from tests.fakes.aws.calls import Call
from tests.fakes.aws.queries import answered, asked
from tests.fakes.aws.stack_resources import Resources, Services, fixed
from tests.fakes.aws.stack_runs import REVIEW, ChangeSet, Run, Stack, details, is_replaced, now
from tests.fakes.aws.stack_templates import LATER, Resolver, invalid, parsed

_UNCHANGED = (
    "The submitted information didn't contain changes. Submit different information to create a"
    " change set."
)
_UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Stacks(dict[str, Stack]):
    """The stacks that there are, by name."""

    def __init__(self, services: Services, account: str, region: str) -> None:
        super().__init__()
        self._services, self._account, self._region = services, account, region
        self._deleted: dict[str, Stack] = {}

    def answer(self, call: Call) -> Answer:
        handlers: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "CreateChangeSet": self.create_change_set,
            "DescribeChangeSet": self.describe_change_set,
            "ExecuteChangeSet": self.execute_change_set,
            "DeleteChangeSet": self.delete_change_set,
            "DescribeStacks": self.describe,
            "DescribeStackResources": self.resources,
            "DescribeStackEvents": self.events,
            "GetTemplate": lambda a: {"TemplateBody": json.dumps(self._found(a).template)},
            "DeleteStack": self.delete,
            "ListStacks": lambda a: {"StackSummaries": [*map(_summary, self._all())]},
        }
        return answered(call, handlers[call.operation](asked(call)))

    def finish(self) -> None:
        """Let all that is under way be done."""
        for stack in list(self.values()):
            while stack.work:
                self._look(stack)

    def create_change_set(self, asked: Mapping[str, Any]) -> Any:
        stack = self._for_change_set(asked)
        template, given = parsed(asked["TemplateBody"]), asked.get("Parameters", [])
        _check_capabilities(template, asked.get("Capabilities", []))
        values = _values(template, {p["ParameterKey"]: p["ParameterValue"] for p in given})
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        kind = asked.get("ChangeSetType", "UPDATE")
        made = ChangeSet(asked["ChangeSetName"], kind, template, values, tags)
        made.changes = list(self._changes(stack, made))
        if asked["ChangeSetName"] in stack.change_sets:
            raise Refusal("AlreadyExistsException", f"ChangeSet {made.name} already exists")
        if stack.name not in self:
            self[stack.name] = stack
            stack.tags = tags
            stack.to(REVIEW, "User Initiated")
        stack.change_sets[made.name] = made
        return {"Id": f"{stack.id}/{made.name}", "StackId": stack.id}

    def _for_change_set(self, asked: Mapping[str, Any]) -> Stack:
        name, new = asked["StackName"], asked.get("ChangeSetType") == "CREATE"
        found = self.get(name)
        if found is None and not new:
            raise invalid(f"Stack [{name}] does not exist")
        if found is None:
            id_ = f"arn:aws:cloudformation:{self._region}:{self._account}:stack/{name}/{len(self)}"
            return Stack(name, f"{id_}{len(self._deleted)}")
        if new and found.state != REVIEW:
            raise invalid(
                f"Stack [{name}] already exists and cannot be created again with the changeSet."
            )
        if not new and found.state not in _UPDATABLE:
            raise invalid(f"Stack:{found.id} is in {found.state} state and can not be updated.")
        return found

    def describe_change_set(self, asked: Mapping[str, Any]) -> Any:
        stack = self._found(asked)
        found = self._change_set(stack, asked)
        said = {"ChangeSetName": found.name, "StackName": stack.name, "StackId": stack.id}
        if found.looks:
            found.looks -= 1
            return {**said, "Status": "CREATE_IN_PROGRESS", "ExecutionStatus": "UNAVAILABLE"}
        if not found.changes and stack.tags == found.tags:
            failed = {"Status": "FAILED", "StatusReason": _UNCHANGED}
            return {**said, **failed, "ExecutionStatus": "UNAVAILABLE"}
        start = int(asked.get("NextToken", 0))
        page = found.changes[start : start + 2]  # so that a client must turn pages
        more = {"NextToken": str(start + 2)} if len(found.changes) > start + 2 else {}
        changes = [{"Type": "Resource", "ResourceChange": one} for one in page]
        done = {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE", "Changes": changes}
        return {**said, **done, **more}

    def execute_change_set(self, asked: Mapping[str, Any]) -> Any:
        stack = self._found(asked)
        wanted = self._change_set(stack, asked)
        if wanted.looks or (not wanted.changes and stack.tags == wanted.tags):
            said = f"ChangeSet [{wanted.name}] cannot be executed in its current status"
            raise Refusal("InvalidChangeSetStatus", said)
        stack.change_sets.clear()
        new = stack.state == REVIEW
        stack.to("CREATE_IN_PROGRESS" if new else "UPDATE_IN_PROGRESS", "User Initiated")
        there = Resources(self._services, stack.name, wanted.tags)
        resolver = self._resolver(stack, wanted, lambda n, a: stack.made[n].attributes[a])
        run = Run(stack, there, self._region, wanted, resolver)
        stack.work = run.deploy(new=new)
        return {}

    def delete_change_set(self, asked: Mapping[str, Any]) -> Any:
        self._found(asked).change_sets.pop(asked["ChangeSetName"], None)
        return {}

    def describe(self, asked: Mapping[str, Any]) -> Any:
        if not asked or "StackName" not in asked:
            found = list(self.values())
        else:
            found = [self._found(asked, deleted=True)]
        for one in found:
            self._look(one)
        return {"Stacks": [_described(one) for one in found]}

    def resources(self, asked: Mapping[str, Any]) -> Any:
        stack = self._found(asked)
        rows = [
            {
                "StackName": stack.name,
                "StackId": stack.id,
                "LogicalResourceId": name,
                "PhysicalResourceId": stack.made[name].physical if name in stack.made else "",
                "ResourceType": "x",
                "Timestamp": now(),
                "ResourceStatus": status,
            }
            for name, status in stack.status.items()
            if name != stack.name
        ]
        return {"StackResources": rows}

    def events(self, asked: Mapping[str, Any]) -> Any:
        return {"StackEvents": self._found(asked, deleted=True).events[::-1]}

    def delete(self, asked: Mapping[str, Any]) -> Any:
        found = self._by(asked["StackName"])
        if found is None or found.state == "DELETE_IN_PROGRESS":
            return {}
        if found.work:
            raise invalid(f"Stack [{found.name}] cannot be deleted while in status {found.state}")
        found.to("DELETE_IN_PROGRESS", "User Initiated")
        there = Resources(self._services, found.name, found.tags)
        found.work = Run(found, there, self._region).delete()
        return {}

    def _all(self) -> list[Stack]:
        """With those that are gone, as AWS lists them for 90 days."""
        return [*self.values(), *self._deleted.values()]

    def _by(self, name: str) -> Stack | None:
        return next((s for s in self.values() if name in (s.name, s.id)), None)

    def _found(self, asked: Mapping[str, Any], *, deleted: bool = False) -> Stack:
        name = asked["StackName"]
        found = self._by(name) or (self._deleted.get(name) if deleted else None)
        if found is None:
            word = f"Stack with id {name} does not exist"
            raise invalid(word if deleted else f"Stack [{name}] does not exist")
        return found

    def _change_set(self, stack: Stack, asked: Mapping[str, Any]) -> ChangeSet:
        found = stack.change_sets.get(asked["ChangeSetName"])
        if found is None:
            said = f"ChangeSet [{asked['ChangeSetName']}] does not exist"
            raise Refusal("ChangeSetNotFound", said, 404)
        return found

    def _look(self, stack: Stack) -> None:
        """What is under way goes on."""
        if stack.work and next(stack.work, self) is self:
            stack.work = None
            if stack.state == "DELETE_COMPLETE":
                self._deleted[stack.id] = self.pop(stack.name)

    def _changes(self, stack: Stack, wanted: ChangeSet) -> Iterator[dict[str, Any]]:
        later: set[str] = set()

        def known(name: str, attribute: str) -> Any:
            there = stack.made.get(name)
            return LATER if there is None or name in later else there.attributes[attribute]

        resolver = self._resolver(stack, wanted, known)
        resources = resolver.resources()
        for name, resource in resources.items():
            given, there = resolver.properties(resource), stack.made.get(name)
            facts = {"LogicalResourceId": name, "ResourceType": resource["Type"]}
            if there is None:
                later.add(name)
                yield {"Action": "Add", **facts, "Details": []}
                continue
            facts["PhysicalResourceId"] = there.physical
            changes = list(details(there, given, fixed(there.kind, self._region)))
            anew = is_replaced(changes)
            if anew:
                later.add(name)
            if changes:
                replaced = {"Replacement": str(anew), "Scope": ["Properties"]}
                yield {"Action": "Modify", **facts, **replaced, "Details": changes}
        for name in [n for n in stack.made if n not in resources]:
            there = stack.made[name]
            facts = {"LogicalResourceId": name, "ResourceType": there.kind}
            yield {"Action": "Remove", **facts, "PhysicalResourceId": there.physical}

    def _resolver(
        self, stack: Stack, wanted: ChangeSet, known: Callable[[str, str], Any]
    ) -> Resolver:
        pseudo = {
            "AWS::AccountId": self._account,
            "AWS::Region": self._region,
            "AWS::Partition": "aws",
            "AWS::StackName": stack.name,
        }
        return Resolver(wanted.template, {**wanted.values, **pseudo}, known)


def _described(stack: Stack) -> dict[str, Any]:
    facts = {
        "StackName": stack.name,
        "StackId": stack.id,
        "CreationTime": now(),
        "StackStatus": stack.state,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in stack.values.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
    }
    return {**facts, **({"StackStatusReason": stack.reason} if stack.reason else {})}


def _summary(stack: Stack) -> dict[str, Any]:
    facts = {"StackName": stack.name, "StackId": stack.id, "CreationTime": now()}
    text = stack.template.get("Description")
    said = {"TemplateDescription": text} if text else {}
    return {**facts, "StackStatus": stack.state, **said}


def _check_capabilities(template: Mapping[str, Any], given: list[str]) -> None:
    roles = [r for r in template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    if any("RoleName" in r["Properties"] for r in roles) and "CAPABILITY_NAMED_IAM" not in given:
        said = "Requires capabilities : [CAPABILITY_NAMED_IAM]"
        raise Refusal("InsufficientCapabilitiesException", said)


def _values(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    declared = template.get("Parameters", {})
    if unknown := sorted(set(given) - set(declared)):
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {n: str(given.get(n, d.get("Default", ""))) for n, d in declared.items()}
    if lacking := [n for n, d in declared.items() if n not in given and "Default" not in d]:
        raise invalid(f"Parameters: [{', '.join(lacking)}] must have values")
    for name, facts in declared.items():
        allowed = [str(one) for one in facts.get("AllowedValues", [])]
        if allowed and values[name] not in allowed:
            raise invalid(f"Parameter '{name}' must be one of AllowedValues")
    return values
