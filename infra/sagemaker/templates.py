"""The template of one endpoint: its text, and the plan that deploys it as a stack; and whose an
endpoint is, a template's or `deploy`'s."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, Refused
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker import execution_role, state, storage
from onnxferry.infra.sagemaker.cloudformation import stack
from onnxferry.infra.sagemaker.desired import DesiredState, desired
from onnxferry.infra.sagemaker.names import TEMPLATE_TAG, Names, own_template
from onnxferry.infra.sagemaker.plan import package_step
from onnxferry.infra.sagemaker.rollout import Goal, smoke
from onnxferry.infra.sagemaker.stacks import Deployment, Stacks, TemplateStack
from onnxferry.infra.sagemaker.template_plan import (
    Preview,
    Publication,
    nothing_plan,
    template_plan,
)
from onnxferry.infra.sagemaker.template_requests import THRESHOLD, UNKNOWN, Requests, requests
from onnxferry.infra.sagemaker.terraform import configuration
from onnxferry.infra.target_tables import SageMaker
from onnxferry.scripts.package import Package
from onnxferry.system.exits import program

_TEXTS: Mapping[str, Callable[[Requests], str]] = {
    "cloudformation": lambda asked: stack(asked).text,
    "terraform": lambda asked: configuration(asked).text,
}
_NOTHING = {"PackageUrl": "", "Version": UNKNOWN}  # is served
_AGAIN = "deploy that again with another package's URL (PackageUrl, package_url)"


@dataclass(frozen=True)
class EndpointTemplate:
    """Of the endpoint of `names`, which asks who is signed in."""

    clients: AwsClients
    settings: SageMaker
    endpoint: str
    names: Callable[[], Names]
    wait: Callable[..., None]

    def text(self, package: Package, kind: str, *, over: bool) -> str:
        """Asks nothing, unless it is to be deployed `over` what is there."""
        return _TEXTS[kind or "cloudformation"](self._requests(package, over=over))

    def plan(self, package: Package) -> Plan:
        """For bucket and role, and with the package that the stack has already."""
        names, stacks = self.names(), self._stacks
        there = stacks.read()
        _refuse_stuck(names, there)
        own = there.values if there and there.made else {}
        served = {name: own.get(name, value) for name, value in _NOTHING.items()}
        wanted = self._deployment(package, there, served)
        if _is_empty(wanted):
            return nothing_plan(names)
        return template_plan(names, wanted, self._preview(there, wanted))

    def plan_with(self, bundle: Bundle) -> Plan:
        """For all, with the endpoint that serves `bundle`."""
        names, there = self.names(), self._stacks.read()
        _refuse_stuck(names, there)
        main = state.own(self.clients, names, names.endpoint)
        _refuse_deployed(names, main)
        needed = desired(names, bundle)
        found = state.read_prerequisites(self.clients, names, needed)
        served = {"PackageUrl": needed.package.url, "Version": needed.version}
        wanted = self._deployment(bundle.package, there, served)
        preview = self._preview(there, wanted)
        return template_plan(names, wanted, preview, self._published(wanted, there, needed, found))

    def _published(
        self,
        wanted: Deployment,
        there: TemplateStack | None,
        needed: DesiredState,
        found: state.Prerequisites,
    ) -> Publication:
        """What is before and after the deployment of an endpoint."""
        alone = Deployment(wanted.name, wanted.template, {**wanted.values, **_NOTHING})
        made = there is not None and there.made
        left = None if _is_empty(alone) else alone
        earlier = left
        if there and made:
            earlier = Deployment(wanted.name, self._stacks.template(), dict(there.values))
        goal = Goal(needed.config["EndpointConfigName"], needed.package.url, needed.variant)
        proof = smoke(self.names(), self.endpoint, goal)
        package = package_step(needed.package, found)
        first = None if made else left
        return Publication(first, package, proof, earlier, needed.version)

    def _preview(self, there: TemplateStack | None, wanted: Deployment) -> Preview:
        if there and (there.at_work or (not there.made and there.state != "REVIEW_IN_PROGRESS")):
            return Preview(there)
        return Preview(there, self._stacks.preview(wanted))

    def _deployment(
        self, package: Package, there: TemplateStack | None, served: Mapping[str, str]
    ) -> Deployment:
        """What is there without a stack is given to it, and stays what it is. Of a package that
        serves already, the threshold stays: it is another after each rehearsal."""
        asked, names = self._requests(package, over=True), self.names()
        declared = stack(asked).document["Parameters"]
        values = {name: str(facts["Default"]) for name, facts in declared.items()}
        values |= served
        own = there.values if there and there.made else {}
        if THRESHOLD in values and own.get("PackageUrl") == served["PackageUrl"]:
            values[THRESHOLD] = own.get(THRESHOLD, values[THRESHOLD])
        if not values["Bucket"] and own.get("Bucket", "-"):
            is_there = storage.bucket_state(self.clients, names) != "absent"
            values["Bucket"] = names.bucket if is_there else ""
        if not values["Role"] and own.get("Role", "-"):
            is_there = execution_role.has_role(self.clients, names)
            values["Role"] = names.role_arn if is_there else ""
        text = json.dumps(stack(asked).document, separators=(",", ":"), ensure_ascii=False)
        return Deployment(self._stacks.name, text, values)

    def _requests(self, package: Package, *, over: bool) -> Requests:
        if not over:
            names = Names(self.endpoint, self.clients.region, "", "", self.settings)
            return requests(names, package)
        key = storage.encryption_key(self.clients, self.names())
        return requests(self.names(), package, key)

    @property
    def _stacks(self) -> Stacks:
        return Stacks(self.clients, self.names(), self.wait)


def _is_empty(wanted: Deployment) -> bool:
    """Whether a deployment makes nothing, which CloudFormation refuses."""
    values = wanted.values
    return bool(values["Bucket"] and values["Role"]) and not values["PackageUrl"]


def owner(tags: Mapping[str, str]) -> str:
    """Whose template made what has these tags, in words; "" for none."""
    kind, _, name = tags.get(TEMPLATE_TAG, "").partition(" ")
    if not kind:
        return ""
    return f"the CloudFormation stack {name}" if name else "a Terraform configuration"


def refuse_templated(there: state.CurrentState, purpose: str) -> None:
    """Raises Refused where the endpoint is a template's, which alone may change it. The kit may
    delete what its own template has made."""
    main, names = there.main, there.names
    whose = owner(main.tags) if main and main.state != "Deleting" else ""
    if not main or not whose:
        return
    own, then = main.tags[TEMPLATE_TAG] == own_template(names.endpoint), _AGAIN
    if own and purpose == "delete":
        return
    if own:
        named = f"--target sagemaker --name {names.endpoint}"
        then = f"`{program('template')} {named} --deploy --endpoint` puts any version live"
    elif purpose == "delete":
        then = "delete that (aws cloudformation delete-stack --stack-name ..., terraform destroy)"
    raise Refused(
        f"AWS {names.region}, endpoint {names.endpoint}: {whose} has made it, and would undo what"
        f" `{purpose}` does, or stumble over it. Instead: {then}"
    )


def _refuse_deployed(names: Names, main: state.Endpoint | None) -> None:
    """Raises NameTaken where the endpoint is not the stack's."""
    own = own_template(names.endpoint)
    if main is None or main.state == "Deleting" or main.tags.get(TEMPLATE_TAG) == own:
        return
    whose = owner(main.tags) or f"`{program('deploy')}`"
    raise NameTaken(
        f"AWS {names.region}, endpoint {names.endpoint}: {whose} has made it, and the template"
        " would make it a second time. Go on with that; or choose another --name; or"
        f" {program('delete')} it first"
    )


def _refuse_stuck(names: Names, there: TemplateStack | None) -> None:
    if there and there.state == "UPDATE_ROLLBACK_FAILED":
        raise Refused(
            f"AWS {names.region}, stack {there.name}: it is {there.state} ({there.reason}): remove"
            f" what is in its way, then: aws cloudformation continue-update-rollback --stack-name"
            f" {there.name}; then run the same command again"
        )
