"""The policy files hold what the flows need, and no more: the flows run with the files enforced, at
first with nothing of them, and with one permission more whenever a message names it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from moto.iam.policy_validation import IAMPolicyDocumentValidator

from onnxferry.infra.policies import BUILT_IN, OPTIONAL, ROLES
from onnxferry.targets import clouds
from tests.fakes.azure import permissions as azure
from tests.infra.policies.accounts import ACCOUNTS
from tests.infra.policies.built_in import DEFINITIONS
from tests.infra.policies.documents import FOLDER, VALUES, allowed, documents, filled, written
from tests.infra.policies.flows import models
from tests.infra.policies.page import PAGE, page
from tests.infra.policies.recording import Grown, Recording, Use, grow, record

AGAIN = "make them again: .venv/bin/python -m tests.infra.policies"
# what is given needs a part of what is made; but data permissions are needed there alone
GROWN = ("sagemaker", "azureml-given", "functions-given")
FILES = sorted(FOLDER.glob("*.json"))
AWS_FILES = [path for path in FILES if path.name.startswith("sagemaker")]
AZURE_FILES = [path for path in FILES if path not in AWS_FILES]
Run = Callable[[str], Recording]


def name_of(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """run("azureml") is the recording of an account's flows with the files enforced, made once."""
    kept: dict[str, Recording] = {}

    def recorded(name: str) -> Recording:
        if name not in kept:
            made = models(name.partition("-")[0], tmp_path_factory.mktemp(name))
            files = {role: allowed(name, role) for role in ROLES}
            with ACCOUNTS[name](made) as account:
                kept[name] = record(account, files)
        return kept[name]

    return recorded


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Grown]:
    """grown("sagemaker") is what a run with one permission more each time came to, made once."""
    kept: dict[str, Grown] = {}

    def made(name: str) -> Grown:
        if name not in kept:
            found = models(name.partition("-")[0], tmp_path_factory.mktemp(name))
            with ACCOUNTS[name](found) as account:
                kept[name] = grow(account, {role: allowed(name, role) for role in ROLES})
        return kept[name]

    return made


@pytest.mark.parametrize("name", ACCOUNTS)
def test_no_call_is_outside_the_files_and_no_refusal_is_silent(run: Run, name: str) -> None:
    assert not run(name).wrong, AGAIN


@pytest.mark.parametrize("target", clouds())
def test_no_permission_of_the_files_is_unused(run: Run, target: str) -> None:
    used = {name: run(name).used for name in ACCOUNTS if name.partition("-")[0] == target}
    made = written(documents(used, target))
    there = {path: path.read_text(encoding="utf-8") for path in FILES if target in path.name}
    assert there == made, AGAIN


@pytest.mark.parametrize("name", GROWN)
@pytest.mark.parametrize("role", ROLES)
def test_without_a_permission_a_run_names_it_or_does_without(
    grown: Callable[[str], Grown], name: str, role: str
) -> None:
    found = grown(name)
    assert not found.wrong, AGAIN
    used = {use.permission.action for use in found.used if use.role == role}
    spare = found.spare(role)
    assert found.named[role] | spare >= used - granted(found.used)
    optional = OPTIONAL[f"{name.partition('-')[0]}-{role}"]
    assert spare <= set(optional), "say in infra/policies/__init__.py what does not work without"
    assert not found.named[role] & set(optional)


def granted(used: set[Use]) -> set[str]:
    """What a role assignment of the flow's own gives."""
    return {u.permission.action for u in used if getattr(u.permission, "data", False)}


def test_what_is_optional_is_in_the_files() -> None:
    for name, actions in OPTIONAL.items():
        texts = [p.read_text().lower() for p in FILES if p.name.startswith(name.partition("-")[0])]
        assert all(any(f'"{a.lower()}"' in text for text in texts) for a in actions), name


def test_the_page_tells_what_each_permission_is_for(run: Run) -> None:
    text = page({name: run(name).used for name in ACCOUNTS})
    assert PAGE.read_text(encoding="utf-8") == text, AGAIN


@pytest.mark.parametrize("path", AWS_FILES, ids=name_of)
def test_a_policy_of_aws_is_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    IAMPolicyDocumentValidator(filled(text)).validate()
    statements = json.loads(text)["Statement"]
    sids = [statement["Sid"] for statement in statements]
    assert len(set(sids)) == len(sids)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    assert len(re.sub(r"\s", "", text)) <= 6144, "more than a managed policy may have"
    actions = [action for statement in statements for action in statement["Action"]]
    assert all(re.fullmatch(r"[a-z0-9-]+:[A-Z]\w+", action) for action in actions)
    everywhere = [s["Sid"] for s in statements if "*" in s["Resource"]]
    assert {sid.removeprefix("Optional") for sid in everywhere} <= {"Everywhere"}
    assert not [value for value in VALUES.values() if value != VALUES["PREFIX"] and value in text]


@pytest.mark.parametrize("path", AZURE_FILES, ids=name_of)
def test_a_role_of_azure_is_one(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["AssignableScopes"][0].startswith("/subscriptions/SUBSCRIPTION")
    action = re.compile(r"Microsoft\.\w+(/\w+)+/(read|write|delete|action)", re.IGNORECASE)
    assert all(map(action.fullmatch, (*found["Actions"], *found["DataActions"])))
    assert found["NotActions"] == found["NotDataActions"] == []


@pytest.mark.parametrize(("target", "role"), [(t, role) for t in BUILT_IN for role in BUILT_IN[t]])
def test_the_built_in_roles_cover_the_files(target: str, role: str) -> None:
    gives = [azure.role(DEFINITIONS[name]) for name in BUILT_IN[target][role]]
    files = [
        path for path in FILES if name_of(path).removesuffix("-subscription") == f"{target}-{role}"
    ]
    assert files
    for path in files:
        found = json.loads(path.read_text(encoding="utf-8"))
        asked = [azure.Permission(a, "") for a in found["Actions"]]
        asked += [azure.Permission(a, "", data=True) for a in found["DataActions"]]
        assert not [p.action for p in asked if not any(given(p) for given in gives)]


def test_the_page_explains_every_placeholder() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in FILES:
        placeholders = set(re.findall(r"\b[A-Z]{4,}\b", path.read_text(encoding="utf-8")))
        assert not {word for word in placeholders if f"`{word}`" not in text}, path
