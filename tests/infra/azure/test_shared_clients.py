"""The clients that both services on Azure use, when the cloud is slow, its clock differs or a token
expires: the real SDKs against the fake on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.clients.azure import AzureSession, azure_environment, credential
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.clients.azure_groups import ArmResources, Groups, TaggedResource
from onnxferry.infra.clients.azure_quota import COMPUTE, MACHINE_LEARNING, AzureQuota, VmSize
from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, Principal, Roles
from onnxferry.infra.clients.azure_storage import Storage
from onnxferry.infra.clients.scm import Scm
from onnxferry.infra.errors import CloudError, NoCredentials, NotAllowed, Unavailable
from tests.fakes.azure import AzureFake
from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.faults import Fault, Faults
from tests.fakes.azure.http import Answer, Route
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.login import SECRET, TENANT, TOKEN
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.authorization import Authorization
from tests.fakes.azure.providers.quotas import Quotas
from tests.fakes.azure.providers.storage import StorageAccounts
from tests.fakes.azure.shapes import ANY

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
SCM = r"squad\.scm\.localhost:\d+"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/acc"
CODE = f"{GROUP}/providers/Microsoft.X/codes/squad"


@pytest.fixture(scope="module")
def fake() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        codes = ResourceType("Microsoft.X/codes", {"properties": ANY, "location": ANY}, slow=True)
        fake.arm.add(*resources.TYPES, codes)
        fake.arm.add(*StorageAccounts(fake, fake.blobs).types)
        fake.arm.add(*Authorization(fake, fake.blobs).types)
        fake.add(*resources.routes(fake))
        yield fake


@pytest.fixture(scope="module")
def quotas(fake: AzureFake) -> Quotas:
    return Quotas(fake)


@pytest.fixture
def azure(fake: AzureFake, quotas: Quotas) -> Iterator[AzureFake]:
    fake.store.put(GROUP, {"location": "westeurope", "tags": {"team": "ml"}})
    fake.store.put(ACCOUNT, {"location": "westeurope"})
    fake.blobs.create("acc", "box")
    yield fake
    for one in (*fake.store.everything(),):
        fake.store.delete(one["id"])
    fake.blobs.accounts.clear()
    fake.faults, fake.clock.ahead, fake.login.closed = Faults(fake.clock), 0, False
    fake.arm.denied.clear()


def session() -> AzureSession:
    where = azure_environment()
    return AzureSession(where, credential(where), SUBSCRIPTION, interval=0.01)


def container(azure: AzureFake, own: AzureSession, secret: str | None = None) -> BlobContainer:
    return BlobContainer(own, f"https://acc.blob.{azure.storage_suffix}", "box", secret)


FLOWS: dict[str, Callable[[AzureFake, AzureSession], Any]] = {
    "groups": lambda azure, own: Groups(own).create("rg", "westeurope", {"a": "b"}),
    "resources": lambda azure, own: ArmResources(own, "2024-10-01").put(CODE, {}),
    "blobs": lambda azure, own: container(azure, own).write_text("a", "text", ""),
    "storage": lambda azure, own: Storage(own, "rg").containers("acc"),
    "roles": lambda azure, own: Roles(own).has(ACCOUNT, BLOB_CONTRIBUTOR, Principal("x")),
    "quotas": lambda azure, own: AzureQuota(own, "westeurope").usages(MACHINE_LEARNING),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.SLOW, Fault.THROTTLED, Fault.LATE])
def test_each_call_has_trouble_once(azure: AzureFake, flow: str, fault: Fault) -> None:
    own = replace(session(), patience=0.2 if fault is Fault.LATE else 60.0)
    azure.faults.every, azure.faults.late = fault, 0.25
    FLOWS[flow](azure, own)
    assert bool(azure.faults.expired) is (fault is Fault.EXPIRED)
    assert (azure.clock.ahead >= 30) is (fault is Fault.SLOW)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_sign_in_that_cannot_be_renewed_is_told_with_the_command(
    azure: AzureFake, flow: str
) -> None:
    own = session()
    own.credential.get_token(own.where.scope)
    azure.login.closed = True
    azure.restart_counting()
    azure.faults.at = dict.fromkeys(range(20), Fault.EXPIRED)
    with pytest.raises(NoCredentials) as caught:
        FLOWS[flow](azure, own)
    text = str(caught.value)
    assert text.count("az login") == 1
    assert "AADSTS700082" in text
    assert SECRET not in text
    assert TOKEN not in text


def test_a_file_is_sent_whole_with_the_new_token(azure: AzureFake, tmp_path: Path) -> None:
    azure.add(Route("POST", r"/api/publish", lambda call, match: Answer(202, b'"1"'), SCM))
    (tmp_path / "package.zip").write_bytes(b"zip" * 1000)
    azure.faults.every = Fault.EXPIRED
    scm = Scm(session(), "squad", f"squad.scm.localhost:{azure.port}")
    assert scm.publish(tmp_path / "package.zip", lambda text: None) == "1"
    assert azure.calls[-1].body == b"zip" * 1000


@pytest.mark.parametrize(("status", "kind"), [(403, NotAllowed), (500, Unavailable)])
def test_what_the_scm_host_says_is_told(
    azure: AzureFake, status: int, kind: type[CloudError]
) -> None:
    said = {"Message": "An error has occurred.", "ExceptionMessage": "No space left on device."}
    host = rf"full{status}\.scm\.localhost:\d+"
    azure.add(Route("GET", r"/.*", lambda call, match: Answer(status, said), host))
    with pytest.raises(kind, match="No space left on device"):
        Scm(session(), "squad", f"full{status}.scm.localhost:{azure.port}").latest()


def test_a_token_of_another_tenant_says_which_is_needed(azure: AzureFake) -> None:
    said = (
        "The access token is from the wrong issuer 'https://sts.windows.net/x/'. It must match the"
        f" tenant 'https://sts.windows.net/{TENANT}/' associated with this subscription."
    )
    azure.arm.refusals["microsoft.x/codes"] = (401, "InvalidAuthenticationTokenTenant", said)
    with pytest.raises(NoCredentials, match=f"az login --tenant {TENANT}"):
        FLOWS["resources"](azure, session())


def test_a_cloud_that_never_answers_in_time(azure: AzureFake) -> None:
    own = replace(session(), patience=0.05)
    own.token()
    azure.restart_counting()
    azure.faults.at = dict.fromkeys(range(20), Fault.LATE)
    azure.faults.late = 0.5
    with pytest.raises(Unavailable, match="no answer in time"):
        Groups(own).get("rg")


@pytest.mark.parametrize("ahead", [-5400.0, 5400.0])
def test_another_clock_changes_nothing(azure: AzureFake, ahead: float) -> None:
    azure.clock.ahead = ahead
    own = session()
    for flow in FLOWS.values():
        flow(azure, own)


def test_all_that_has_a_tag_is_found_in_any_group(
    azure: AzureFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "PAGE", 1)
    mine, name = {"onnxferry-endpoint": "squad"}, "onnxferry-endpoint"
    for group, tags in (("rg", {"team": "ml"}), ("rg2", {"OnnxFerry-Endpoint": "squad"})):
        id_ = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
        azure.store.put(id_, {"location": "westeurope", "tags": tags})
        below = f"{id_}/providers/Microsoft.X/codes"
        for own, its in (("a", mine), ("b", {}), ("c/parts/d", mine)):
            azure.store.put(f"{below}/{own}", {"location": "westeurope", "tags": its})
        azure.store.put(f"{below}/a/versions/1", {"tags": mine})  # a child without a place
    found = Groups(session()).resources_tagged(name)
    names = sorted((one.group, one.name) for one in found)
    assert names == [("rg", "a"), ("rg", "d"), ("rg2", "a"), ("rg2", "d"), ("rg2", "rg2")]
    one = next(one for one in found if one.name == "d" and one.group == "rg")
    nested = f"{GROUP}/providers/Microsoft.X/codes/c/parts/d"
    assert one == TaggedResource(nested, "d", "Microsoft.X/codes/parts", "westeurope", mine)


def test_tags_are_merged_and_those_of_a_put_replace(azure: AzureFake) -> None:
    azure.store.put(CODE, {"location": "westeurope", "tags": {"team": "ml"}})
    Groups(session()).tag(CODE, {"a": "b"})
    assert (azure.store.get(CODE) or {})["tags"] == {"team": "ml", "a": "b"}
    Groups(session()).create("rg", "westeurope", {"a": "b"})
    assert (azure.store.get(GROUP) or {})["tags"] == {"a": "b"}


def test_a_group_goes_with_all_that_is_in_it(azure: AzureFake) -> None:
    azure.store.put(CODE, {"location": "westeurope"})
    Groups(session()).delete("rg").wait()
    assert azure.store.everything() == []
    assert azure.blobs.accounts == {}


def test_a_role_opens_an_account_until_it_is_taken_away(azure: AzureFake) -> None:
    azure.blobs.denied.add("acc")
    roles, me = Roles(session()), Roles(session()).signed_in()
    roles.assign(ACCOUNT, BLOB_CONTRIBUTOR, me, "by a test")
    while azure.blobs.denied:  # it spreads
        azure.operations.advance()
    container(azure, session()).list("")
    (assignment,) = roles.described(ACCOUNT, "by a test", "")
    roles.delete(assignment)
    with pytest.raises(NotAllowed, match="Storage Blob Data Contributor"):
        container(azure, session()).list("")
    azure.blobs.denied.clear()


def test_quota_by_family(azure: AzureFake, quotas: Quotas) -> None:
    quotas.used[MACHINE_LEARNING, "standardFSv2Family"] = 6
    mine = AzureQuota(session(), "westeurope")
    assert mine.size("standard_f4s_V2") == VmSize("Standard_F4s_v2", "standardFSv2Family", 4)
    assert mine.size("Standard_none") is None
    usage = {one.name: one for one in mine.usages(MACHINE_LEARNING)}["standardFSv2Family"]
    assert (usage.used, usage.limit) == (6, 100)
    assert usage.words == "Standard FSv2 Family Cluster Dedicated vCPUs"
    assert len(mine.usages(COMPUTE)) == 3
    azure.arm.denied.add("GET Microsoft.MachineLearningServices/locations/usages")
    with pytest.raises(NotAllowed, match=r"MachineLearningServices/locations/usages/read"):
        mine.usages(MACHINE_LEARNING)


@pytest.mark.parametrize(
    ("trouble", "secret", "advice"),
    [
        ("denied", None, "the role Storage Blob Data Contributor"),
        ("walled", None, "firewall must let this machine in"),
        ("walled", "sig=x", "firewall must let this machine in"),
        ("keyless", "a2V5", "--system-datastores-auth-mode identity"),
        ("keyless", "sig=x", "--system-datastores-auth-mode identity"),
    ],
)
def test_why_blobs_may_not_be_used(
    azure: AzureFake, trouble: str, secret: str | None, advice: str
) -> None:
    getattr(azure.blobs, trouble).add("acc")
    try:
        with pytest.raises(NotAllowed) as caught:
            container(azure, session(), secret).list("squad")
    finally:
        getattr(azure.blobs, trouble).clear()
    assert advice in str(caught.value)
    assert "squad in container box" in str(caught.value)
    others = ("firewall", "--system-datastores-auth-mode", "Owner does not include")
    assert sum(other in str(caught.value) for other in others) == 1


@pytest.mark.parametrize(
    ("ahead", "secret"), [(0, "se=2020-01-01T00%3A00%3A00Z&sig=x"), (7200, "a2V5")]
)
def test_a_key_is_valid_by_the_servers_clock(azure: AzureFake, ahead: float, secret: str) -> None:
    azure.clock.ahead = ahead
    with pytest.raises(NotAllowed, match="clock"):
        container(azure, session(), secret).list("squad")
    azure.clock.ahead = 0
    container(azure, session(), "se=2999-01-01T00%3A00%3A00Z&sig=x").list("squad")
