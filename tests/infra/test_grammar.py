"""Each cloud's folder has the same files for the same purposes, and its plans read nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxferry.infra.cloud import OnlineEndpoint
from onnxferry.targets import clouds
from tests.test_architecture import ROOT

FILES = {"names", "state", "desired", "plan", "operations", "smoke", "deletion", "cloud"}
PURE = [(cloud, file) for cloud in clouds() for file in ("plan", "deletion", "desired", "names")]


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each `from module import name`; (module, "") of `import module`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("cloud", clouds())
def test_a_cloud_has_the_files_of_the_grammar(cloud: str) -> None:
    there = {path.stem for path in (ROOT / "infra" / cloud).glob("*.py")}
    assert there >= FILES
    for name in ("CurrentState", "SmokeTest", "DesiredState", "Operations"):
        file = {"CurrentState": "state", "SmokeTest": "smoke", "DesiredState": "desired"}
        module = importlib.import_module(f"onnxferry.infra.{cloud}.{file.get(name, 'operations')}")
        assert inspect.isclass(getattr(module, name))


@pytest.mark.parametrize(("cloud", "file"), PURE)
def test_a_plan_is_made_of_data(cloud: str, file: str) -> None:
    """What it imports of what talks to a cloud is frozen data: no SDK, client or reader."""
    for module, name in imported(ROOT / "infra" / cloud / f"{file}.py"):
        assert module.split(".")[0] not in {"boto3", "botocore", "azure", "requests", "urllib"}
        found = getattr(importlib.import_module(module), name) if name else None
        source = found.__name__ if inspect.ismodule(found) else module
        if talks(source):
            assert is_data(found), f"{cloud}/{file}.py imports {module}.{name}"


def talks(module: str) -> bool:
    """Whether a module asks a cloud. containers.py only asks the sagemaker SDK for a name."""
    clients = module.startswith("onnxferry.infra.clients.") and not module.endswith(".containers")
    return clients or module.endswith((".state", ".storage", ".smoke", ".operations"))


def is_data(found: object) -> bool:
    if isinstance(found, (str, frozenset)):
        return True
    facts = getattr(found, "__dataclass_params__", None)
    return facts is not None and facts.frozen and not {"call", "send", "session"} & set(dir(found))


@pytest.mark.parametrize("cloud", clouds())
def test_a_cloud_is_an_online_endpoint(cloud: str) -> None:
    module = importlib.import_module(f"onnxferry.infra.{cloud}.cloud")
    (made,) = (
        found
        for name, found in vars(module).items()
        if name.endswith("Cloud") and found.__module__ == module.__name__
    )
    wanted = {name for name in dir(OnlineEndpoint) if not name.startswith("_")}
    assert wanted <= set(dir(made))
