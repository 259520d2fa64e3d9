"""`image = "prebuilt"`: Microsoft's inference image as it is, and nothing that is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.infra.cloud import bundle
from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.plan_text import costly
from onnxferry.scripts.package import layout_of
from tests import packages, tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.assets import WORKSPACES
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.infra.azureml.conftest import connected, deploy
from tests.infra.proved import prove


def test_the_environment_is_the_image_alone_and_the_libraries_are_in_the_code(
    azure: AzureFake, ml: MachineLearning, tmp_path: Path
) -> None:
    index, model = packages.make_index(tmp_path / "index"), tmp_path / "model"
    prove(tiny.question_answering(model))
    built = bundle(packages.build(index, layout_of("azureml", "prebuilt"), model=model), model)

    plan = connected().plan_deploy(built)
    assert costly(plan, ("environment", "squad")) == "environment squad"  # no image is built
    deploy(connected(), built)

    (environment,) = azure.store.all(f"{WORKSPACES}/environments/versions")
    assert environment["properties"]["image"].endswith("/minimal-py312-inference:latest")
    assert "condaFile" not in environment["properties"]
    files = " ".join(azure.blobs.names("wsstore", "azureml-blobstore"))
    assert "/numpy/__init__.py" in files
    assert "/onnxruntime/capi/state.so" in files
    assert not connected().plan_deploy(built).changes


@pytest.mark.parametrize(("image", "layout"), [("conda", ""), ("prebuilt", "prebuilt")])
def test_the_configuration_chooses_the_package(image: str, layout: str, tmp_path: Path) -> None:
    place = {"subscription": SUBSCRIPTION, "resource_group": "rg", "workspace": "work"}
    settings = tuple(f"{key}={value}" for key, value in {**place, "image": image}.items())
    given = CommandOptions(
        "azureml", None, tmp_path, None, "squad", tmp_path / "deploy.toml", settings
    )

    assert given.layout == layout_of("azureml", layout)
