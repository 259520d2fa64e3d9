"""The CloudFormation stack of an endpoint's template: what is there of it, and change sets, by
which CloudFormation says what a template would change, and changes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError, NameTaken, NotFound, Refused
from onnxferry.infra.sagemaker.cloudformation import DESCRIPTION
from onnxferry.infra.sagemaker.names import STACK_TAG, Names, stack_name, tags, values_of

REVIEWED = "REVIEW_IN_PROGRESS"  # a stack of which there is nothing but a change set
# of one that was never made, or is half gone: it can only be deleted
DEAD = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
_CHANGE_SET = "onnxferry"
_UNCHANGED = ("didn't contain changes", "No updates are to be performed")
_CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
Wait = Callable[..., None]


def listed(clients: AwsClients) -> Iterator[tuple[str, str]]:
    """(endpoint, state) of each stack that was deployed under the kit's name for it."""
    all_of_them = ("cloudformation", "list_stacks", "StackSummaries", "stacks")
    for found in clients.pages(*all_of_them):
        name, prefix = found["StackName"], stack_name("")
        ours = name.startswith(prefix) and found.get("TemplateDescription") == DESCRIPTION
        if ours and found["StackStatus"] != "DELETE_COMPLETE":
            yield name.removeprefix(prefix), found["StackStatus"]


@dataclass(frozen=True)
class TemplateStack:
    """A stack as it is: `values` are its parameters'."""

    name: str
    id: str
    state: str
    reason: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def at_work(self) -> bool:
        """Whether CloudFormation changes it now."""
        return self.state.endswith("_IN_PROGRESS") and self.state != REVIEWED

    @property
    def made(self) -> bool:
        """Whether it has resources, and can be updated, once nothing is under way."""
        return self.state not in (REVIEWED, "DELETE_IN_PROGRESS", *DEAD)


@dataclass(frozen=True)
class Deployment:
    """A template (JSON text) with the values of its parameters, for the stack `name`."""

    name: str
    template: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Stacks:
    """Of one endpoint."""

    clients: AwsClients
    names: Names
    wait: Wait

    @property
    def name(self) -> str:
        """Of the stack that the kit deploys."""
        return stack_name(self.names.endpoint)

    def read(self) -> TemplateStack | None:
        """The stack; None where there is none. Raises NameTaken where it is not ours."""
        found = self.clients.call_if_there(
            "cloudformation", "describe_stacks", f"stack {self.name}", StackName=self.name
        )
        if found is None:
            return None
        (stack,) = found["Stacks"]
        if stack["StackStatus"] == "DELETE_COMPLETE":
            return None
        if values_of(stack.get("Tags", [])).get(STACK_TAG) != self.names.made:
            raise NameTaken(
                f"AWS {self.names.region}, stack {self.name}: it exists, and onnxferry did not make"
                " it; choose another endpoint name with --name, or deploy the template by your own"
                " pipeline under another stack name"
            )
        given = {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack["Parameters"]}
        reason = stack.get("StackStatusReason", "")
        return TemplateStack(self.name, stack["StackId"], stack["StackStatus"], reason, given)

    def template(self) -> str:
        """The text of the template that the stack was deployed with."""
        found = self._ask("get_template", StackName=self.name)["TemplateBody"]
        return found if isinstance(found, str) else json.dumps(found)

    def has(self, wanted: Deployment) -> bool:
        """Whether that is what was deployed last."""
        there = self.settle()
        same = there and there.made and there.values == wanted.values
        return bool(same) and json.loads(self.template()) == json.loads(wanted.template)

    def preview(self, wanted: Deployment) -> list[Mapping[str, Any]]:
        """What deploying it would change, a ResourceChange each; leaves nothing behind."""
        changes = self.prepare(wanted)
        self.discard()
        return changes

    def prepare(self, wanted: Deployment) -> list[Mapping[str, Any]]:
        """Have the change set made, and say what it changes."""
        there = self.read()
        kind = "UPDATE" if there and there.made else "CREATE"
        self._delete_change_set()
        given = [{"ParameterKey": k, "ParameterValue": v} for k, v in wanted.values.items()]
        mark = tags({**self.names.settings.tags, STACK_TAG: self.names.made})
        what = {"TemplateBody": wanted.template, "Parameters": given, "Tags": mark}
        more = {"ChangeSetType": kind, "Capabilities": _CAPABILITIES}
        with suppress(NameTaken):  # an earlier attempt, whose answer was lost, has made it
            self._ask("create_change_set", **self._change_set, **what, **more)
        return self._changes() if self._is_prepared() else []

    def execute(self) -> None:
        """Begin what the change set says; CloudFormation goes on by itself. A further attempt after
        a lost answer finds it begun."""
        try:
            self._ask("execute_change_set", **self._change_set)
        except (NotFound, Refused):
            describe = ("cloudformation", "describe_change_set", f"stack {self.name}")
            found = self.clients.call_if_there(*describe, **self._change_set)
            if found and found["ExecutionStatus"] == "AVAILABLE":
                raise

    def discard(self) -> None:
        """Delete the change set, and a stack that has nothing else."""
        self._delete_change_set()
        if (there := self.read()) and there.state == REVIEWED:
            self.delete()

    def delete(self) -> None:
        """Delete the stack with what it made, and wait for that; it is begun once."""
        there = self.read()
        if there and not there.state.startswith("DELETE_IN"):
            self._ask("delete_stack", StackName=there.id)
        if there:
            self.wait(f"stack {self.name}", lambda: self._deleting(there.id))

    def settle(self) -> TemplateStack | None:
        """The stack once nothing is under way there."""
        found: TemplateStack | None = None

        def at_work() -> str | None:
            nonlocal found
            found = self.read()
            return found.state if found and found.at_work else None

        self.wait(f"stack {self.name}", at_work)
        return found

    def resources(self) -> dict[str, str]:
        """The state of each resource, by its logical id."""
        named = {"StackName": self.name}
        found = self._ask("describe_stack_resources", **named)["StackResources"]
        return {one["LogicalResourceId"]: one["ResourceStatus"] for one in found}

    def failure(self, there: TemplateStack | None) -> CloudError:
        """Why a deployment has failed: what each resource that did says."""
        said = list(self._failed()) if there else ["somebody has deleted it"]
        state = there.state if there else "gone"
        why = "; ".join(said) or (there.reason if there else "")
        back = ""
        if there and there.state == "UPDATE_ROLLBACK_COMPLETE":
            back = " CloudFormation has put back what was there before."
        return Refused(f"AWS {self.names.region}, stack {self.name}: {state}: {why}.{back}")

    def _failed(self) -> Iterator[str]:
        """Of the last deployment, oldest first. Others are cancelled since one has failed."""
        listed = ("cloudformation", "describe_stack_events", "StackEvents", f"stack {self.name}")
        events = self.clients.pages(*listed, StackName=self.name)
        begins = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", REVIEWED)
        last = []
        for event in events:
            own = event["ResourceType"] == "AWS::CloudFormation::Stack"
            if own and event["ResourceStatus"] in begins:
                break
            last.append(event)
        for event in reversed(last):
            reason = event.get("ResourceStatusReason", "")
            own = event["ResourceType"] == "AWS::CloudFormation::Stack"
            if not own and event["ResourceStatus"].endswith("_FAILED") and "cancel" not in reason:
                yield f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"

    def _is_prepared(self) -> bool:
        """Wait for the change set; False where it has no changes."""
        found: Mapping[str, Any] = {}

        def under_way() -> str | None:
            nonlocal found
            found = self._ask("describe_change_set", **self._change_set)
            state = str(found["Status"])
            return state if state in ("CREATE_PENDING", "CREATE_IN_PROGRESS") else None

        self.wait(f"change set of stack {self.name}", under_way)
        reason = found.get("StatusReason", "")
        if found["Status"] == "CREATE_COMPLETE":
            return True
        if any(words in reason for words in _UNCHANGED):
            return False
        raise Refused(
            f"AWS {self.names.region}, stack {self.name}: its change set failed: {reason}"
        )

    def _changes(self) -> list[Mapping[str, Any]]:
        asked = {**self._change_set, "IncludePropertyValues": True}
        found = self._ask("describe_change_set", **asked)
        changes = list(found["Changes"])
        while token := found.get("NextToken"):
            found = self._ask("describe_change_set", **asked, NextToken=token)
            changes += found["Changes"]
        return [one["ResourceChange"] for one in changes]

    def _delete_change_set(self) -> None:
        where = f"change set of stack {self.name}"
        delete = ("cloudformation", "delete_change_set", where)
        self.clients.call_if_there(*delete, **self._change_set)

    def _deleting(self, id_: str) -> str | None:
        """A stack that is gone is found by its id alone."""
        describe = ("cloudformation", "describe_stacks", f"stack {self.name}")
        found = self.clients.call_if_there(*describe, StackName=id_)
        (stack,) = found["Stacks"] if found else ({"StackStatus": "DELETE_COMPLETE"},)
        if stack["StackStatus"] == "DELETE_FAILED":
            raise self.failure(self.read())
        return None if stack["StackStatus"] == "DELETE_COMPLETE" else str(stack["StackStatus"])

    @property
    def _change_set(self) -> dict[str, str]:
        return {"StackName": self.name, "ChangeSetName": _CHANGE_SET}

    def _ask(self, operation: str, **request: Any) -> Any:
        return self.clients.call("cloudformation", operation, f"stack {self.name}", **request)
