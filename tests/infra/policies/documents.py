"""Recorded permissions as the documents of infra/policies/, and these with a test's values in the
place of their placeholders."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxferry.infra import policies
from onnxferry.infra.policies import OPTIONAL, ROLES
from tests.fakes.aws import ACCOUNT, REGION
from tests.fakes.aws import permissions as aws
from tests.fakes.azure import permissions as azure
from tests.infra.policies.accounts import KEY, ROLE, THEIRS
from tests.infra.policies.flows import NAME
from tests.infra.policies.recording import Use

FOLDER = Path(policies.__file__).parent
_PLACE = rf"arn:aws:\w+:{REGION}:{ACCOUNT}:"
_HERE = "arn:aws:{}:REGION:ACCOUNT:"
_SAGEMAKER, _LOGS = _HERE.format("sagemaker"), _HERE.format("logs")
_MADE, _BUCKET = (
    f"arn:aws:s3:::onnxferry-{ACCOUNT}-{REGION}",
    "arn:aws:s3:::onnxferry-ACCOUNT-REGION",
)
_GROUPS = "log-group:/aws/sagemaker/Endpoints/"
_JOBS = "log-group:/aws/sagemaker/TransformJobs"
# what a recorded ARN matches -> the statement that it comes to, and its resource there
KINDS: Mapping[str, tuple[str, str]] = {
    rf"{_PLACE}endpoint/{NAME}": ("Endpoint", f"{_SAGEMAKER}endpoint/NAME"),
    rf"{_PLACE}endpoint/{NAME}-candidate": ("Endpoint", f"{_SAGEMAKER}endpoint/NAME-candidate"),
    rf"{_PLACE}endpoint/.*": ("EveryEndpoint", f"{_SAGEMAKER}endpoint/*"),
    rf"{_PLACE}stack/onnxferry-{NAME}/.*": (
        "Stack",
        f"{_HERE.format('cloudformation')}stack/onnxferry-NAME/*",
    ),
    rf"{_PLACE}endpoint-config/onnxferry-{NAME}-.*": (
        "EndpointConfigurations",
        f"{_SAGEMAKER}endpoint-config/onnxferry-NAME-*",
    ),
    rf"{_PLACE}model/onnxferry-{NAME}-.*": ("Models", f"{_SAGEMAKER}model/onnxferry-NAME-*"),
    rf"{_PLACE}endpoint-config/{NAME}-.*": (
        "EndpointConfigurations",
        f"{_SAGEMAKER}endpoint-config/NAME-*",
    ),
    rf"{_PLACE}endpoint-config/.*": (
        "EveryEndpointConfiguration",
        f"{_SAGEMAKER}endpoint-config/*",
    ),
    rf"{_PLACE}model/{NAME}-.*": ("Models", f"{_SAGEMAKER}model/NAME-*"),
    rf"{_PLACE}transform-job/{NAME}-.*": ("TransformJobs", f"{_SAGEMAKER}transform-job/NAME-*"),
    rf"{_PLACE}model/.*": ("EveryModel", f"{_SAGEMAKER}model/*"),
    rf"arn:aws:iam::{ACCOUNT}:role/onnxferry-{NAME}-{REGION}": (
        "Role",
        "arn:aws:iam::ACCOUNT:role/onnxferry-NAME-REGION",
    ),
    rf"arn:aws:iam::{ACCOUNT}:role/onnxferry-.*": (
        "EveryRole",
        "arn:aws:iam::ACCOUNT:role/onnxferry-*-REGION",
    ),
    re.escape(ROLE): ("Role", "ROLE"),
    re.escape(KEY): ("Key", "KEY"),
    rf"{_MADE}": ("Bucket", f"{_BUCKET}"),
    rf"{_MADE}/onnxferry/{NAME}/.*": ("Packages", f"{_BUCKET}/onnxferry/NAME/*"),
    rf"{_MADE}/onnxferry/.*": ("EveryPackage", f"{_BUCKET}/onnxferry/*"),
    rf"{_MADE}/onnxferry-captured/{ACCOUNT}-{REGION}/{NAME}/.*": (
        "Captured",
        f"{_BUCKET}/onnxferry-captured/ACCOUNT-REGION/NAME/*",
    ),
    f"arn:aws:s3:::{THEIRS}/models-captured/{ACCOUNT}-{REGION}/{NAME}/.*": (
        "Captured",
        "arn:aws:s3:::BUCKET/PREFIX-captured/ACCOUNT-REGION/NAME/*",
    ),
    f"arn:aws:s3:::{THEIRS}": ("Bucket", "arn:aws:s3:::BUCKET"),
    f"arn:aws:s3:::{THEIRS}/models/{NAME}/.*": ("Packages", "arn:aws:s3:::BUCKET/PREFIX/NAME/*"),
    f"arn:aws:s3:::{THEIRS}/models/.*": ("EveryPackage", "arn:aws:s3:::BUCKET/PREFIX/*"),
    rf"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:.*": (
        "ScalableTargets",
        f"{_HERE.format('application-autoscaling')}scalable-target/*",
    ),
    rf"arn:aws:iam::{ACCOUNT}:role/aws-service-role/.*": (
        "LinkedRole",
        "arn:aws:iam::ACCOUNT:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
        "/*",
    ),
    rf"{_PLACE}alarm:onnxferry-{NAME}-.*": (
        "Alarms",
        f"{_HERE.format('cloudwatch')}alarm:onnxferry-NAME-*",
    ),
    rf"{_PLACE}alarm:onnxferry-.*": (
        "EveryAlarm",
        f"{_HERE.format('cloudwatch')}alarm:onnxferry-*",
    ),
    rf"{_PLACE}alarm:TargetTracking-.*": (
        "TrackingAlarms",
        f"{_HERE.format('cloudwatch')}alarm:TargetTracking-*",
    ),
    rf"{_PLACE}log-group::.*": ("LogGroups", f"{_LOGS}log-group:*"),
    rf"{_PLACE}{_GROUPS}{NAME}:.*": ("Logs", f"{_LOGS}{_GROUPS}NAME:*"),
    rf"{_PLACE}{_GROUPS}{NAME}-candidate:.*": ("Logs", f"{_LOGS}{_GROUPS}NAME-candidate:*"),
    rf"{_PLACE}{_JOBS}:.*": ("JobLogs", f"{_LOGS}{_JOBS}:*"),
    "arn:aws:s3:::data": ("Data", "arn:aws:s3:::DATA"),
    "arn:aws:s3:::data/.*": ("Data", "arn:aws:s3:::DATA/*"),
    r"\*": ("Everywhere", "*"),
}
APART = {"azureml": ("template",)}  # commands of people who do nothing else: files of their own
FEATURES = {  # statement -> the feature that alone needs it
    **dict.fromkeys(("Data", "TransformJobs", "JobLogs"), "batch"),
    **dict.fromkeys(("LinkedRole", "ScalableTargets", "TrackingAlarms"), "scaling"),
    "Stack": "template",
}
VALUES = {  # of the placeholders
    **{"ACCOUNT": ACCOUNT, "REGION": REGION, "NAME": NAME},
    **{"ROLE": ROLE, "KEY": KEY, "BUCKET": THEIRS, "PREFIX": "models", "DATA": "data"},
}


def written(documents: Mapping[str, Any]) -> dict[Path, str]:
    """The text of each file."""
    return {
        FOLDER / f"{name}.json": json.dumps(document, indent=2) + "\n"
        for name, document in documents.items()
    }


def documents(used: Mapping[str, set[Use]], target: str) -> dict[str, Any]:
    """The documents of a target, by the names of their files, of what was used in each of its
    accounts."""
    made: dict[str, Any] = {}
    for role in ROLES:
        if target == "sagemaker":
            for name in used:
                made |= _by_feature(f"{name}-{role}", _policy(role, of_role(used[name], role)))
        else:
            both = set().union(*(of_role(found, role) for found in used.values()))
            made |= dict(_files(target, role, both))
    return made


def _files(target: str, role: str, used: set[Use]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The roles of Azure's of a target: one for its endpoints, and one for each command apart."""
    apart = APART.get(target, ())
    common = {use.permission for use in used if use.command not in apart}
    yield from _roles(f"{target}-{role}", common)
    for command in apart:
        own = {use.permission for use in used if use.command == command}
        yield from _roles(f"{target}-{role}-{command}", own)


def _by_feature(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    """A deployer's policy is too long for one: what a feature alone needs has a file of its own."""
    statements: dict[str, list[Any]] = defaultdict(list)
    for statement in policy["Statement"]:
        feature = FEATURES.get(statement["Sid"].removeprefix("Optional"), "")
        statements[f"{name}-{feature}" if feature and "deployer" in name else name] += [statement]
    return {file: {**policy, "Statement": found} for file, found in statements.items()}


def of_role(used: Iterable[Use], role: str) -> set[Use]:
    """What a role needs. Who deploys may look, too."""
    return {use for use in used if role in (use.role, "deployer")}


def _policy(role: str, used: set[Use]) -> dict[str, Any]:
    statements: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for use in used:
        sid, resource = _kind(use.permission.resource)
        action = use.permission.action
        actions, resources = statements[_prefix(role, action, used) + sid]
        actions.add(action)
        resources.add(resource)
    ordered = sorted(statements, key=lambda sid: (sid.startswith("Optional"), sid))
    found = [_statement(sid, *map(sorted, statements[sid])) for sid in ordered]
    return {"Version": "2012-10-17", "Statement": found}


def _prefix(role: str, action: str, used: set[Use]) -> str:
    """Sets apart what may be left out, what only `invoke` needs, and what has a condition."""
    if action in OPTIONAL[f"sagemaker-{role}"]:
        return "Optional"
    if action == "iam:PassRole":
        return "Passed"
    commands = {use.command for use in used if use.permission.action == action}
    return "Invoke" if commands == {"invoke"} else ""


def _kind(resource: str) -> tuple[str, str]:
    return next(kind for known, kind in KINDS.items() if re.fullmatch(known, resource))


def _statement(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    made = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return made | ({"Condition": aws.PASSED} if sid.startswith("Passed") else {})


def _roles(name: str, used: Iterable[azure.Permission]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One to assign at the resource group, and where that is not enough one for the
    subscription."""
    at_group: list[azure.Permission] = []
    above: list[azure.Permission] = []
    for permission in used:
        (at_group if permission.at_group else above).append(permission)
    place = "/subscriptions/SUBSCRIPTION"
    for file, found, scope in (
        (name, at_group, f"{place}/resourceGroups/GROUP"),
        (f"{name}-subscription", above, place),
    ):
        if found:
            yield file, _role(file, found, scope)


def _role(name: str, used: Iterable[azure.Permission], scope: str) -> dict[str, Any]:
    actions: dict[bool, dict[str, str]] = {False: {}, True: {}}
    for permission in sorted(used):  # the SDKs write one action in several cases
        actions[permission.data].setdefault(permission.action.lower(), permission.action)
    return {
        "Name": f"onnxferry {name}",
        "Description": "The fewest permissions; see docs/deploy/permissions.md of onnxferry.",
        "Actions": sorted(actions[False].values()),
        "NotActions": [],
        "DataActions": sorted(actions[True].values()),
        "NotDataActions": [],
        "AssignableScopes": [scope],
    }


def allowed(account: str, role: str) -> Callable[[Any], bool]:
    """Whether `role` may do a thing in `account`, by the files as they are."""
    target = account.partition("-")[0]
    if target != "sagemaker":
        names = (f"{target}-{role}", *(f"{target}-{role}-{c}" for c in APART.get(target, ())))
        roles = [_by_roles(name) for name in names if _file(name).exists()]
        return lambda permission: any(given(permission) for given in roles)
    files = FOLDER.glob(f"{account}-{role}*.json")
    found = [json.loads(filled(path.read_text(encoding="utf-8"))) for path in files]
    return aws.policy({"Statement": [one for policy in found for one in policy["Statement"]]})


def filled(text: str) -> str:
    """A policy of AWS with a test's values in the place of its placeholders."""
    return re.sub("|".join(VALUES), lambda found: VALUES[found[0]], text)


def _by_roles(name: str) -> Callable[[azure.Permission], bool]:
    group = azure.role(json.loads(_text(name)))
    above = f"{name}-subscription"
    everywhere = azure.role(json.loads(_text(above))) if _file(above).exists() else None
    return lambda permission: (
        (permission.at_group and group(permission)) or bool(everywhere and everywhere(permission))
    )


def _file(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _text(name: str) -> str:
    return _file(name).read_text(encoding="utf-8")
