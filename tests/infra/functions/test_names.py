"""Names that Azure takes, that tell apps apart, and that are the same on every machine."""

from __future__ import annotations

import re
import uuid

import pytest

from onnxferry.infra.clients.azure_roles import BLOB_OWNER, Principal, assignment_name
from onnxferry.infra.functions.names import Names, container

NAMES = ("abc", "squad", "Squad-V2", "a--b", "a" * 32, "my-very-long-model-name-that-is-3")


@pytest.mark.parametrize("name", NAMES)
def test_the_platforms_rules(name: str) -> None:
    names = Names("sub", "rg", name)
    assert re.fullmatch(r"[a-z0-9]{3,24}", names.account)
    assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])+", container(names.candidate))
    assert len(container(names.candidate)) <= 63
    assert len(names.candidate) <= 32


@pytest.mark.parametrize("name", NAMES)
def test_an_app_and_its_candidate_differ_where_the_host_looks(name: str) -> None:
    assert Names("sub", "rg", name).candidate[:32] != name[:32]


def test_what_is_another_has_another_name() -> None:
    assert container("a--b") != container("a-b")
    accounts = {
        Names(s, g, n).account for s in ("s1", "s2") for g in ("g1", "g2") for n in ("a-b", "ab")
    }
    assert len(accounts) == 8
    assert Names("S1", "RG", "Squad").account == Names("s1", "rg", "squad").account
    assert Names("s", "g", "a", "mine").account == "mine"


def test_the_same_role_assignment_has_the_same_name() -> None:
    name = assignment_name("/Scope", BLOB_OWNER, Principal("ID"))
    assert name == assignment_name("/scope", BLOB_OWNER, Principal("id"))
    assert name != assignment_name("/scope", BLOB_OWNER, Principal("other"))


def test_the_role_of_an_app_is_named_after_the_app() -> None:
    """Whose identity is known only when it is made, and then another each time."""
    app = Principal("ID", named="/apps/Squad")
    name = assignment_name("/Scope", BLOB_OWNER, app)
    assert name == assignment_name("/scope", BLOB_OWNER, Principal("other", named="/apps/squad"))
    # as a template's guid('/scope', '/apps/squad', ...) gives it
    text = "/scope-/apps/squad-b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
    assert name == str(uuid.uuid5(uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830"), text))
