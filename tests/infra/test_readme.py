"""What the README shows of asking an endpoint is what the tests of each cloud run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.azureml import test_snippets as azureml
from tests.infra.functions import test_snippets as functions
from tests.infra.sagemaker import test_snippets as sagemaker

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "snippet",
    [
        azureml.AZURE_AI_ML,
        azureml.HTTPX,
        azureml.CURL,
        functions.PYTHON,
        functions.CURL,
        sagemaker.PYTHON,
        sagemaker.AWS,
        sagemaker.CURL,
    ],
)
def test_the_readme_shows_what_runs(snippet: str) -> None:
    assert snippet.strip() in README
