"""Packages of one file of code: nothing here is about those."""

from __future__ import annotations

import pytest

from onnxferry.infra.cloud import Bundle
from tests.infra.azureml.world import slim


@pytest.fixture(scope="session")
def versions(versions: dict[str, Bundle]) -> dict[str, Bundle]:
    return {name: slim(bundle) for name, bundle in versions.items()}
