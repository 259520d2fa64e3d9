"""The true paths' environments are made before a fake cloud changes where this process finds the
network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from onnxferry.scripts.package import layout_of, package
from onnxferry.scripts.rehearse import start
from tests import tiny


def _ready(target: str) -> Callable[..., Any]:
    """A fixture after which a package of a text task starts on `target`'s runtime without
    installing anything."""

    @pytest.fixture(scope="session", name=f"{target}_ready")
    def ready(tmp_path_factory: pytest.TempPathFactory) -> None:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        python = here if here in layout_of(target).pythons else None
        model = tiny.question_answering(tmp_path_factory.mktemp("ready") / "model")
        with start(package(model, target, out=tmp_path_factory.mktemp("ready"), python=python)):
            pass

    return ready


azureml_ready, functions_ready, sagemaker_ready = map(_ready, ("azureml", "functions", "sagemaker"))
