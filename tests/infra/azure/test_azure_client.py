"""Where Azure is, who signs in, and what its refusals become: the real SDKs against the fake on
loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.mgmt.resource.resources import ResourceManagementClient

from onnxferry.infra.clients.azure import (
    METADATA,
    AzureEnvironment,
    AzureSession,
    azure_environment,
    credential,
)
from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.azure_groups import ArmResources
from onnxferry.infra.errors import (
    CloudError,
    NoCredentials,
    NotAllowed,
    NotFound,
    TimedOut,
    Unavailable,
)
from tests.fakes.azure import AzureFake
from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.login import SECRET, TOKEN
from tests.fakes.azure.providers.resources import TYPES
from tests.fakes.azure.shapes import ANY


@pytest.fixture
def azure() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable():
        fake.arm.add(*TYPES)
        yield fake


def groups(retries: int = 3) -> ResourceManagementClient:
    where = azure_environment()
    return ResourceManagementClient(
        credential(where),
        SUBSCRIPTION,
        base_url=where.resource_manager,
        credential_scopes=[where.scope],
        retry_total=retries,
        retry_backoff_factor=0.01,
    )


AZ = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
echo '{"accessToken": "token", "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4070908800}'
"""


def test_the_tenant_of_deploy_toml_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    az = tmp_path / "az"
    az.write_text(AZ, encoding="utf-8")
    az.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    tenant = "00000000-0000-0000-0000-0000000000ff"
    who = credential(AzureEnvironment(), tenant)
    who.get_token("https://management.azure.com/.default")
    who.get_token_info("https://management.azure.com/.default", options={})
    asked = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert len(asked) == 2
    assert all(f"--tenant {tenant}" in line for line in asked)


def create() -> None:
    with translated("resource group rg"):
        groups().resource_groups.create_or_update("rg", {"location": "westeurope"})


def failure(kind: type[CloudError]) -> str:
    with pytest.raises(kind) as caught:
        create()
    text = str(caught.value)
    assert "resource group rg" in text
    assert SECRET not in text
    assert TOKEN not in text
    return text


def test_signs_in_and_creates(azure: AzureFake) -> None:
    create()
    found = azure.store.get(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg")
    assert found is not None
    assert found["location"] == "westeurope"


@pytest.mark.parametrize(
    "fault", [Fault.THROTTLED, Fault.BROKEN, Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER]
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_fault_is_retried(azure: AzureFake, fault: Fault, number: int) -> None:
    # 0 is the cloud's metadata, which is read once
    azure.faults.at[len(azure.calls) + 1 + number] = fault
    create()
    assert azure.store.get(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg")


def test_nobody_is_signed_in(azure: AzureFake) -> None:
    with azure.reachable(known=False):
        text = failure(NoCredentials)
    assert "AADSTS7000215" in text
    assert "az login" in text


def test_a_missing_permission_is_named(azure: AzureFake) -> None:
    azure.arm.denied.add("PUT Microsoft.Resources/resourceGroups")
    assert "the permission Microsoft.Resources/resourceGroups/write is missing" in failure(
        NotAllowed
    )


def test_not_found(azure: AzureFake) -> None:
    with pytest.raises(NotFound, match="resource group other"), translated("resource group other"):
        groups().resource_groups.get("other")


def test_unavailable_after_retries(azure: AzureFake) -> None:
    azure.faults.at = dict.fromkeys(range(3, 30), Fault.BROKEN)
    assert "run the same command again" in failure(Unavailable)


def test_no_cloud_at_the_address(azure: AzureFake) -> None:
    with pytest.raises(Unavailable, match="correct or unset"):
        azure_environment(
            {METADATA: f"{azure.url}/nothing", "REQUESTS_CA_BUNDLE": str(azure.certificates)}
        )


def test_the_public_cloud_is_the_default() -> None:
    assert azure_environment({}).resource_manager == "https://management.azure.com"


def test_an_operation_that_does_not_end_is_left(azure: AzureFake) -> None:
    azure.arm.add(ResourceType("Microsoft.X/codes", {"properties": ANY}, slow=True))
    azure.operations.polls = 10**6
    where = azure_environment()
    session = AzureSession(where, credential(where), SUBSCRIPTION, interval=0.01)
    resources = ArmResources(session, "2024-10-01", limit=0.2)
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
    create()
    with pytest.raises(
        TimedOut, match=r"codes/squad: still InProgress after 0.2 s.*run the same command again"
    ):
        resources.put(f"{group}/providers/Microsoft.X/codes/squad", {})
    azure.operations.polls = 0
