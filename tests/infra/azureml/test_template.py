"""The template of a workspace, deployed to the strict fake: what it makes is enough for endpoints,
it takes nothing of anybody's, and a second run makes nothing twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.workspace.names import WorkspaceNames
from onnxferry.infra.clients.azure_roles import ROLES
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, Refused
from onnxferry.infra.plan import Action, Plan
from onnxferry.scripts.package import Package
from tests.fakes.azure import permissions
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.login import PRINCIPAL
from tests.fakes.azure.providers.authorization import scope_of
from tests.fakes.azure.providers.given import IDENTITIES
from tests.infra.azureml.conftest import deploy
from tests.infra.azureml.workspace_account import NAMES, WorkspaceAccount, run, workspace_account
from tests.infra.policies.built_in import DEFINITIONS
from tests.infra.quiet import QuietReport

PACKAGE = Package("azureml", "tiny-qa", Path("package"), "", 0, "3.12", ())
ALL: dict[str, Any] = {
    "tags": {"team": "[ml]"},
    "capture": {},
    "scaling": {"max": 3, "target": 60},
    "batch": {"compute": "scorers", "low_priority": True},
}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[WorkspaceAccount, dict[str, Any]]]:
    """The account, and its states: "" with an empty group, and "made" with a workspace in it."""
    with workspace_account() as account:
        states = {"": account.snapshot()}
        run(account.cloud().plan_template(PACKAGE), account.cloud())
        yield account, {**states, "made": account.snapshot()}


@pytest.fixture
def empty(
    shared: tuple[WorkspaceAccount, dict[str, Any]],
    keep_bodies: Callable[[Iterable[tuple[str, str, Any]]], None],
) -> Iterator[WorkspaceAccount]:
    account, states = shared
    account.restore(states[""])
    yield account
    keep_bodies(account.fake.arm.puts)


@pytest.fixture
def made(shared: tuple[WorkspaceAccount, dict[str, Any]]) -> WorkspaceAccount:
    account, states = shared
    account.restore(states["made"])
    return account


def changes(plan: Plan) -> list[str]:
    return [str(step) for step in plan.changes]


def roles(account: WorkspaceAccount) -> set[tuple[str, str, str]]:
    """(role, scope's name, "user" or "endpoints") of each assignment."""
    named = {guid: role for role, guid in ROLES.items()}
    found = set()
    for one in account.fake.store.all("Microsoft.Authorization/roleAssignments"):
        facts = one["properties"]
        role = named[facts["roleDefinitionId"].rpartition("/")[2]]
        who = "user" if facts["principalId"] == PRINCIPAL else "endpoints"
        found.add((role, scope_of(one).rpartition("/")[2], who))
    return found


def by_assignments(account: WorkspaceAccount) -> Callable[[permissions.Permission], bool]:
    """Whether a role that the signed-in user has there gives a permission."""
    named, given = {guid: role for role, guid in ROLES.items()}, []
    for one in account.fake.store.all("Microsoft.Authorization/roleAssignments"):
        facts = one["properties"]
        if facts["principalId"] == PRINCIPAL:
            role = named[facts["roleDefinitionId"].rpartition("/")[2]]
            given.append((f"{scope_of(one)}/", permissions.role(DEFINITIONS[role])))
    return lambda asked: any(
        f"{asked.scope}/".lower().startswith(scope) and gives(asked) for scope, gives in given
    )


def test_a_fresh_template_asks_nobody(made: WorkspaceAccount) -> None:
    cloud = made.cloud(**ALL)
    made.fake.restart_counting()
    found = json.loads(cloud.template(PACKAGE))
    defaults = {name: facts["defaultValue"] for name, facts in found["parameters"].items()}
    assert made.fake.calls == []
    assert (defaults["workspace"], defaults["tags"]) == ("work", {"team": "[[ml]"})
    assert defaults["batchCompute"] == "scorers"
    assert defaults["identityWrites"] is defaults["deployerScales"] is True


def test_it_makes_a_closed_workspace(made: WorkspaceAccount) -> None:
    account, vault = made.resource("account")["properties"], made.resource("vault")["properties"]
    assert account["minimumTlsVersion"] == "TLS1_2"
    assert not account["allowBlobPublicAccess"]
    assert not account["allowSharedKeyAccess"]
    assert vault["enableRbacAuthorization"]
    assert vault["enablePurgeProtection"]
    assert not made.resource("registry")["properties"]["adminUserEnabled"]
    workspace = made.resource("workspace")
    assert workspace["properties"]["systemDatastoresAuthMode"] == "Identity"
    assert workspace["identity"] == {"type": "SystemAssigned"}
    assert workspace["tags"]["onnxferry-workspace"] == "work"


def test_its_roles_are_the_least(made: WorkspaceAccount) -> None:
    shared = NAMES.shared
    assert roles(made) == {
        ("AcrPull", shared, "endpoints"),
        ("Storage Blob Data Reader", shared, "endpoints"),
        ("AzureML Metrics Writer (preview)", "work", "endpoints"),
        ("Reader", "work", "user"),
        ("AzureML Data Scientist", "work", "user"),
        ("Storage Blob Data Contributor", shared, "user"),
        ("Managed Identity Operator", "work-endpoints", "user"),
    }


def test_after_it_endpoints_are_deployed_with_its_roles_alone_and_never_change_it(
    made: WorkspaceAccount, versions: dict[str, Bundle]
) -> None:
    """The roles are over parts of this group: the quota of the subscription is not read."""
    before = {part: dict(made.resource(part)) for part in ("workspace", "account", "vault")}
    made.fake.authorizer.allows = by_assignments(made)
    cloud = made.endpoint()
    plan = deploy(cloud, versions["a"])
    assert any("quota was not checked" in note for note in plan.summary.notes)
    assert cloud.status().version == versions["a"].version
    apply(cloud.plan_delete(), cloud, QuietReport())
    assert {part: made.resource(part) for part in before} == before
    made.fake.authorizer.allows = lambda permission: True
    assert made.cloud().plan_template(PACKAGE).changes == ()


def test_a_second_run_changes_nothing(made: WorkspaceAccount) -> None:
    plan = made.cloud().plan_template(PACKAGE)
    assert (changes(plan), plan.summary.notes) == ([], ())
    assert {step.action for step in plan.steps} == {Action.REUSE}


def test_what_deploy_toml_says_more_is_shown_and_made(made: WorkspaceAccount) -> None:
    made.resource("workspace")["tags"]["owner"] = "them"
    cloud = made.cloud(**ALL)
    plan = cloud.plan_template(PACKAGE)
    assert "create cluster scorers" in changes(plan)
    assert "workspace work: tags.team: nothing -> [ml]" in plan.summary.notes
    run(plan, cloud)
    more = {
        ("Storage Blob Data Contributor", NAMES.shared, "endpoints"),
        ("Monitoring Contributor", "rg", "user"),
    }
    assert more <= roles(made)
    cluster = made.fake.store.get(f"{NAMES.id('workspace')}/computes/scorers") or {}
    assert cluster["properties"]["properties"]["vmPriority"] == "LowPriority"
    assert list(cluster["identity"]["userAssignedIdentities"]) == [NAMES.id("identity")]
    assert made.resource("workspace")["tags"]["owner"] == "them"
    assert cloud.plan_template(PACKAGE).changes == ()


def test_a_file_for_a_pipeline_keeps_tags(made: WorkspaceAccount) -> None:
    made.resource("workspace")["tags"]["owner"] = "them"
    found = json.loads(made.cloud().template(PACKAGE, over=True))
    kept = found["parameters"]["kept"]["defaultValue"]["workspace"]
    assert set(kept) == {"owner", "onnxferry-deployed"}


def test_an_identity_that_is_given_gets_the_roles(empty: WorkspaceAccount) -> None:
    theirs = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/other/providers/{IDENTITIES}/serving"
    facts = {"principalId": "p", "clientId": "c", "provisioningState": "Succeeded"}
    empty.fake.store.put(theirs, {"location": "westeurope", "properties": facts})
    cloud = empty.cloud(identity=theirs)
    run(cloud.plan_template(PACKAGE), cloud)
    assert not empty.resource("identity")
    assert ("AcrPull", NAMES.shared, "endpoints") in roles(empty)
    (deployment,) = empty.deployments.known.values()
    assert deployment.outputs["identity"]["value"] == theirs


def test_the_identity_that_it_made_stays_its_own(made: WorkspaceAccount) -> None:
    assert made.cloud(identity=NAMES.id("identity")).plan_template(PACKAGE).changes == ()


@pytest.mark.parametrize("part", ["workspace", "vault", "identity"])
def test_what_somebody_made_is_left(made: WorkspaceAccount, part: str) -> None:
    made.resource(part)["tags"] = {"owner": "them"}
    with pytest.raises(Refused, match=f"{NAMES.name(part)} of resource group rg is there"):
        made.cloud().plan_template(PACKAGE)


def test_without_the_group_it_says_how_to_make_it(empty: WorkspaceAccount) -> None:
    empty.fake.store.delete(NAMES.group_id)
    with pytest.raises(NotFound, match="az group create --name rg"):
        empty.cloud().plan_template(PACKAGE)


def test_a_resource_that_fails_is_named_and_the_next_run_goes_on(empty: WorkspaceAccount) -> None:
    kind = "microsoft.machinelearningservices/workspaces"
    empty.fake.arm.failures[kind] = ("QuotaExceeded", "no quota is left")
    with pytest.raises(CloudError, match=r"work: no quota is left") as e:
        run(empty.cloud().plan_template(PACKAGE), empty.cloud())
    assert f"vaults/{NAMES.shared}" in str(e.value)  # which is there now
    assert not list(empty.fake.store.all("Microsoft.MachineLearningServices/workspaces/datastores"))
    plan = run(empty.cloud().plan_template(PACKAGE), empty.cloud())
    assert f"create key vault {NAMES.shared}" not in changes(plan)
    assert "update workspace work" in changes(plan)
    assert empty.cloud().plan_template(PACKAGE).changes == ()


def test_a_name_that_somebody_has_is_named(empty: WorkspaceAccount) -> None:
    empty.workspaces.taken.add(NAMES.shared)
    with pytest.raises(CloudError, match=f"{NAMES.shared}: The vault name .* is already in use"):
        run(empty.cloud().plan_template(PACKAGE), empty.cloud())


def test_a_deleted_key_vault_is_recovered(made: WorkspaceAccount) -> None:
    vault = made.resource("vault")
    made.workspaces.deleted[vault["name"]] = vault
    made.fake.store.delete(vault["id"])
    cloud = made.cloud()
    plan = cloud.plan_template(PACKAGE)
    assert "it is recovered" in "; ".join(plan.summary.notes)
    run(plan, cloud)
    assert made.resource("vault")
    assert not made.workspaces.deleted
    assert cloud.plan_template(PACKAGE).changes == ()


def test_without_the_right_to_look_for_deleted_vaults_it_goes_on(empty: WorkspaceAccount) -> None:
    lacking = "Microsoft.KeyVault/locations/deletedVaults/read"
    empty.fake.authorizer.allows = lambda permission: permission.action != lacking
    plan = empty.cloud().plan_template(PACKAGE)
    assert lacking in "; ".join(plan.summary.notes)
    assert "create workspace work" in changes(plan)


def test_a_missing_permission_is_named_before_anything_is_made(empty: WorkspaceAccount) -> None:
    lacking = "Microsoft.KeyVault/vaults/write"
    empty.fake.authorizer.allows = lambda permission: permission.action != lacking
    with pytest.raises(NotAllowed, match=lacking):
        empty.cloud().plan_template(PACKAGE)
    assert empty.kinds() == ["Microsoft.Resources/resourceGroups"]


@pytest.mark.parametrize("workspace", ["a-b", "9_lives_-", "W" * 33, "_".join("x" * 17)])
def test_names_are_what_each_service_takes(workspace: str) -> None:
    names = WorkspaceNames(SUBSCRIPTION, "rg", workspace)
    assert re.fullmatch("[a-z][a-z0-9]{4,23}", names.shared)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", names.name("logs"))
    other = WorkspaceNames(SUBSCRIPTION, "rg2", workspace)
    assert other.shared != names.shared
