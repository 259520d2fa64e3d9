"""What deploying made beside the endpoint, its configurations and its models. Only reads."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.sagemaker import execution_role, storage
from onnxferry.infra.sagemaker.names import TEMPLATE_TAG, Names, log_group, values_of
from onnxferry.infra.sagemaker.packages import Packages, packages, place_of
from onnxferry.infra.sagemaker.state import CurrentState, url_of_model


@dataclass(frozen=True)
class OwnedResources:
    """What else deploying made: packages, log groups, and whether the role; and folders of packages
    `unmarked`, which an earlier release may have made. `template` is the tag of the template whose
    the role or the endpoint is, "" for none."""

    packages: tuple[Packages, ...]
    logs: tuple[str, ...]
    role: bool
    unmarked: tuple[str, ...] = ()
    template: str = ""


def read_owned(clients: AwsClients, state: CurrentState) -> OwnedResources:
    """Packages are looked for where they are put now, and where the models say."""
    names = state.names
    own = {(names.bucket, folder) for folder in (names.folder, *names.package_folders)}
    places = {place_of(names, url_of_model(clients, model)) for model in state.models}
    found = [packages(clients, names, *place) for place in sorted(own.union(filter(None, places)))]
    role = None if names.settings.role else execution_role.described_role(clients, names)
    template = values_of((role or {}).get("Tags", [])).get(TEMPLATE_TAG, "")
    made = role is not None and not template
    main = state.main.tags.get(TEMPLATE_TAG, "") if state.main else ""
    logs, unmarked = _log_groups(clients, names), storage.unmarked(clients, names)
    return OwnedResources(tuple(found), logs, made, unmarked, main or template)


def _log_groups(clients: AwsClients, names: Names) -> tuple[str, ...]:
    group, listed = log_group(names.endpoint), ("logs", "describe_log_groups", "logGroups")
    found = clients.if_allowed(
        lambda: clients.pages(*listed, "log groups", logGroupNamePrefix=group),
        "log groups are not looked for",
    )
    known = {group, log_group(names.candidate)}
    return tuple(sorted(known & {item["logGroupName"] for item in found or ()}))
