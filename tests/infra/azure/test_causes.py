"""The cause of a refusal reaches the user, wherever the service has put it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry.infra import errors
from onnxferry.infra.clients.azure import AzureSession, azure_environment, credential
from onnxferry.infra.clients.azure_causes import flattened
from onnxferry.infra.clients.azure_groups import ArmResources, Groups
from onnxferry.infra.errors import CloudError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.http import Answer, forbidden_by_policy, hidden
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers.resources import TYPES
from tests.fakes.azure.shapes import ANY

QUOTA = (
    "Not enough quota available for Standard_F4s_v2 in SubscriptionId x. Current usage/limit: 0/6."
    " Additional needed: 8"
)
GENERAL = {"code": "BadRequest", "message": "The request is invalid."}


@dataclass(frozen=True)
class Case:
    """An answer, and what must be made of it."""

    status: int
    error: dict[str, Any]
    kind: type[CloudError]
    told: tuple[str, ...]


CASES = {
    "quota in details": Case(
        400, hidden("OutOfQuota", QUOTA), errors.QuotaExceeded, (QUOTA, "ask for more quota")
    ),
    "quota in words only": Case(
        400, hidden("InvalidParameter", QUOTA), errors.QuotaExceeded, (QUOTA, "another size")
    ),
    "quota of cores": Case(
        409,
        {
            "code": "OperationNotAllowed",
            "message": "Operation could not be completed as it results in exceeding approved Total"
            " Regional Cores quota.",
        },
        errors.QuotaExceeded,
        ("Total Regional Cores", "ask for more quota"),
    ),
    "an inner error of codes": Case(
        400,
        {**GENERAL, "innererror": {"code": "Bad", "innererror": {"code": "SkuNotSupported"}}},
        errors.Refused,
        ("SkuNotSupported", "choose another size"),
    ),
    "a policy": Case(
        403,
        forbidden_by_policy("squad", "Allowed locations", "only in the EU"),
        errors.Refused,
        ("Allowed locations / only in the EU", "exempt the resource group"),
    ),
    "JSON within a message": Case(
        409,
        {
            "code": "DeploymentFailed",
            "message": "At least one resource deployment operation failed. Please list them.",
            "details": [{"code": "Conflict", "message": '{"error": {"code": "QuotaExceeded",'
                         ' "message": "This region has quota of 0 instances."}}'}],
        },
        errors.QuotaExceeded,
        ("This region has quota of 0 instances",),
    ),
    "a provider that is not registered": Case(
        409,
        {"code": "MissingSubscriptionRegistration", "message": "not registered to use namespace"
         " 'Microsoft.Web'."},
        errors.Refused,
        ("Microsoft.Web", "az provider register"),
    ),
    "a lock": Case(
        409,
        {"code": "ScopeLocked", "message": "The scope is locked: 'keep'. Please remove the lock"},
        errors.Refused,
        ("'keep'", "az lock list"),
    ),
    "a permission, below": Case(
        400,
        {**GENERAL, "details": [{"code": "AuthorizationFailed", "message": "The client has no"
         " authorization to perform action 'Microsoft.X/codes/write' over scope '/x'"}]},
        errors.NotAllowed,
        ("the permission Microsoft.X/codes/write is missing",),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*TYPES, ResourceType("Microsoft.X/codes", {"properties": ANY}, slow=True))
        yield fake


def session() -> AzureSession:
    where = azure_environment()
    return AzureSession(where, credential(where), SUBSCRIPTION, interval=0.01)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("later", [False, True], ids=["at once", "by its operation"])
def test_the_cause_is_told(azure: AzureFake, name: str, later: bool) -> None:
    case, type_ = CASES[name], "microsoft.x/codes"
    Groups(session()).create("rg", "westeurope", {})
    if later:
        azure.arm.failures[type_] = case.error
    else:
        azure.arm.refusals[type_] = Answer(case.status, {"error": case.error})
    id_ = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.X/codes/squad"
    with pytest.raises(case.kind) as caught:
        ArmResources(session(), "2024-10-01").put(id_, {})
    assert type(caught.value) is case.kind
    for told in (*case.told, "codes/squad"):
        assert told in str(caught.value)
    assert "The request is invalid" not in str(caught.value) or "SkuNotSupported" in case.told


def test_what_kudu_says_is_read() -> None:
    body = {"Message": "An error has occurred.", "ExceptionMessage": "No space left on device."}
    assert flattened(body).text == "No space left on device"


WORD = st.text("abcdefgh", min_size=3, max_size=8)
ERRORS = st.recursive(
    st.fixed_dictionaries({"message": WORD}, optional={"code": WORD}),
    lambda below: st.fixed_dictionaries(
        {"code": WORD, "message": WORD},
        optional={
            "details": st.lists(below, max_size=3),
            "innerError": below,
            "additionalInfo": st.lists(
                st.builds(lambda one: {"type": "InnerError", "info": {"value": one}}, below),
                max_size=2,
            ),
        },
    ),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(["code", "message", "error", "details", "additionalInfo", "type"]),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ERRORS)
def test_no_message_is_lost_at_any_depth(error: dict[str, Any]) -> None:
    text = flattened({"error": error}).text

    def messages(node: Any) -> Iterator[str]:
        if isinstance(node, list):
            for one in node:
                yield from messages(one)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key == "message":
                    yield value
                else:
                    yield from messages(value)

    for message in messages(error):
        assert message in text


@given(JSON)
def test_no_body_is_too_strange(body: Any) -> None:
    assert isinstance(flattened(body).text, str)
