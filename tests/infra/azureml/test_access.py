"""Who reaches an endpoint, as whom it runs, and what its deployments reach: set when they are made,
kept by every later change, changed where Azure allows it, and refused where it does not."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.system.errors import UsageError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers import given
from tests.fakes.azure.providers.authorization import Authorization
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.infra.azureml.conftest import config, connected, deploy
from tests.infra.azureml.test_drift import serving
from tests.infra.azureml.test_flow import endpoint

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/wsstore"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/wsregistry"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*"
PULL = "Microsoft.ContainerRegistry/registries/pull/read"


@pytest.fixture
def roles(azure: AzureFake, ml: MachineLearning) -> Authorization:
    """A workspace with storage and a registry."""
    found = Authorization(azure, azure.blobs)
    azure.arm.add(*found.types, *given.types())
    azure.add(*found.routes)
    workspace = azure.store.get(ml.workspace())
    assert workspace
    workspace["properties"] |= {"storageAccount": STORAGE, "containerRegistry": REGISTRY}
    return found


@pytest.fixture
def identity(azure: AzureFake, roles: Authorization) -> str:
    """One that may read and pull; its id."""
    id_ = given.identity(azure, GROUP)
    roles.give(STORAGE, principal(azure, id_), "Blobs", dataActions=[BLOBS])
    roles.give(GROUP, principal(azure, id_), "Pull", actions=["*"], notActions=["*/write"])
    return id_


def principal(azure: AzureFake, id_: str) -> str:
    return str((azure.store.get(id_) or {})["properties"]["principalId"])


def test_an_endpoint_keeps_what_it_was_made_with(
    azure: AzureFake, identity: str, versions: dict[str, Bundle]
) -> None:
    cloud = connected(identity=identity, network={"public": False, "egress": False})
    deploy(cloud, versions["a"])
    made = endpoint(azure)
    assert made["properties"]["publicNetworkAccess"].lower() == "disabled"
    assert [*made["identity"]["userAssignedIdentities"]] == [identity]
    made["properties"]["description"] = "somebody's words"
    deploy(cloud, versions["b"])
    later = endpoint(azure)
    assert later["properties"]["description"] == "somebody's words"
    assert later["properties"]["publicNetworkAccess"].lower() == "disabled"
    assert later["identity"]["type"] == "UserAssigned"
    assert [*later["identity"]["userAssignedIdentities"]] == [identity]
    assert serving(azure)["properties"]["egressPublicNetworkAccess"].lower() == "disabled"
    assert not cloud.plan_deploy(versions["b"]).changes


def test_what_somebody_changed_is_set_right_or_refused_with_the_reason(
    azure: AzureFake, identity: str, versions: dict[str, Bundle]
) -> None:
    cloud = connected()
    deploy(cloud, versions["a"])
    traffic = dict(endpoint(azure)["properties"]["traffic"])
    endpoint(azure)["properties"]["publicNetworkAccess"] = "Disabled"
    plan = deploy(cloud, versions["a"])
    assert [str(step) for step in plan.changes] == ["update network access of endpoint squad"]
    assert endpoint(azure)["properties"]["publicNetworkAccess"].lower() == "enabled"
    assert endpoint(azure)["properties"]["traffic"] == traffic
    assert not cloud.plan_deploy(versions["a"]).changes

    with pytest.raises(Refused, match="identity is one of its own, and serving is asked for"):
        connected(identity=identity).plan_deploy(versions["a"])
    serving(azure)["properties"]["egressPublicNetworkAccess"] = "Disabled"
    with pytest.raises(Refused, match="is disabled, and shall be enabled, but Azure fixes it"):
        cloud.plan_deploy(versions["a"])


def test_public_access_goes_back_where_the_new_version_fails(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    private = connected(network={"public": False})
    model = private.plan_deploy(versions["b"]).steps[1].parameters["version"]
    ml.answers[model] = b"{}"
    with pytest.raises(Exception, match="golden"):
        deploy(private, versions["b"])
    assert endpoint(azure)["properties"]["publicNetworkAccess"].lower() == "enabled"


def test_an_identity_without_its_rights_is_refused_before_anything_is_made(
    azure: AzureFake, roles: Authorization, versions: dict[str, Bundle]
) -> None:
    id_ = given.identity(azure, GROUP)
    whose = principal(azure, id_)
    roles.give(STORAGE, whose, "Blobs", dataActions=[BLOBS])
    roles.give(REGISTRY, "somebody-else", "AcrPull", actions=[PULL])
    with pytest.raises(Refused) as caught:
        connected(identity=id_).plan_deploy(versions["a"])
    said = str(caught.value)
    assert "registries/pull/read on wsregistry" in said
    assert "blobs/read" not in said
    assert f'--role "AcrPull" --assignee-principal-type ServicePrincipal --scope {REGISTRY}' in said
    with pytest.raises(NotFound, match="identity nobody: there is none of the id"):
        connected(identity=id_.replace("serving", "nobody")).plan_deploy(versions["a"])


def test_rights_that_may_not_be_read_are_a_note(
    azure: AzureFake, identity: str, versions: dict[str, Bundle]
) -> None:
    azure.arm.denied.add(f"GET {given.IDENTITIES}")
    notes = connected(identity=identity).plan_deploy(versions["a"]).summary.notes
    assert any("What the identity serving may do is not known" in note for note in notes)


def test_a_registry_that_is_not_there_yet_is_a_note(
    azure: AzureFake, ml: MachineLearning, identity: str, versions: dict[str, Bundle]
) -> None:
    workspace: Any = azure.store.get(ml.workspace())
    workspace["properties"]["storageAccount"] = STORAGE
    notes = connected(identity=identity).plan_deploy(versions["a"]).summary.notes
    assert any("has no container registry yet" in note for note in notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image": "prebuilt", "network": {"egress": False}}, "Microsoft's registry"),
        (
            {"requests": {"concurrency": 2}, "environment": {"WORKER_COUNT": "4"}},
            "leave WORKER_COUNT out of environment",
        ),
        ({"requests": {"start_minutes": 45}}, r"wait_minutes \(30\) ends the wait"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(settings: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, UsageError), match=said):
        config(**settings)


def test_killed_after_access_was_changed_the_same_command_goes_on(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(connected(), versions["a"])
    private = connected(network={"public": False})
    plan = private.plan_deploy(versions["b"])
    change = next(step for step in plan.steps if step.operation == "set_public_access")
    private.execute(change, lambda *said: None)
    private.execute(change, lambda *said: None)  # done twice, it is done once
    deploy(private, versions["b"])
    assert endpoint(azure)["properties"]["publicNetworkAccess"].lower() == "disabled"
    assert not private.plan_deploy(versions["b"]).changes
