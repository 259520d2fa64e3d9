"""What a template says: that AWS's own linter takes it, that the AWS provider knows each argument,
and that both say the very requests that `deploy` sends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint

from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scripts.package import Package
from tests.infra.sagemaker.conftest import cloud
from tests.infra.sagemaker.provider_arguments import ARGUMENTS
from tests.infra.sagemaker.template_settings import SETTINGS

PACKAGE = Package("sagemaker", "tiny-qa", Path("model.tar.gz"), "", 0, "3.12", ())
OFTEN = ("real time", "async")  # what a normal run lints
EVERY = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
_REFERENCE = re.compile(r"\b(aws_\w+)\.(\w+)\b|\b(var|local)\.(\w+)")


def made(kind: str, **settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cloud(**settings).template(PACKAGE, kind))
    return found


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            given, id=name, marks=[pytest.mark.series] * (name not in ("real time", "async"))
        )
        for name, given in SETTINGS.items()
    ],
)
def test_the_linter_of_cloudformation_finds_nothing(settings: dict[str, Any]) -> None:
    text = cloud(**settings).template(PACKAGE, "cloudformation")
    found = lint(text, regions=["eu-west-1"])
    assert [str(match) for match in found] == []


@EVERY
def test_the_provider_of_terraform_knows_each_argument(settings: dict[str, Any]) -> None:
    for kind, named in made("terraform", **settings)["resource"].items():
        for name, arguments in named.items():
            assert set(paths(arguments)) <= ARGUMENTS[kind] | META, (kind, name)


META: set[str] = {"count", "depends_on", "lifecycle", "lifecycle.create_before_destroy"}
MAPS = {"tags", "environment", "dimensions"}  # whose keys are anybody's


def paths(arguments: Any, above: str = "") -> Iterator[str]:
    for key, value in arguments.items():
        yield f"{above}{key}"
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and key not in MAPS:
                yield from paths(inner, f"{above}{key}.")


@EVERY
def test_what_terraform_refers_to_is_there(settings: dict[str, Any]) -> None:
    found = made("terraform", **settings)
    known = {
        *(f"{kind}.{name}" for kind, named in found["resource"].items() for name in named),
        *(f"{kind}.{name}" for kind, named in found["data"].items() for name in named),
        *(f"var.{name}" for name in found["variable"]),
        *(f"local.{name}" for name in found["locals"]),
    }
    for text in texts(found):
        for inner in re.findall(r"(?<!\$)\$\{(.*?)\}", text):
            for groups in _REFERENCE.findall(inner):
                assert ".".join(filter(None, groups)) in known, text


def texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    for inner in (
        data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    ):
        yield from texts(inner)


def test_texts_that_look_like_expressions_are_texts() -> None:
    given = SETTINGS["real time"]["environment"]["LABEL"]
    model = made("cloudformation", **SETTINGS["real time"])["Resources"]["Model"]["Properties"]
    assert model["PrimaryContainer"]["Environment"]["LABEL"] == {
        "Fn::Join": ["${", given.split("${")]
    }
    resources = made("terraform", **SETTINGS["real time"])["resource"]
    label = resources["aws_sagemaker_model"]["endpoint"]["primary_container"]["environment"][
        "LABEL"
    ]
    assert label == "$${AWS::Region} %%{if x} <&>"


def test_a_template_is_made_without_signing_in() -> None:
    """No fake is up: what would ask anybody would fail."""
    made_by: SageMakerCloud = cloud()
    assert json.loads(made_by.template(PACKAGE))["Parameters"]["EndpointName"]["Default"] == "squad"
