"""Packages with the files of a batch."""

from __future__ import annotations

import pytest

from onnxferry.infra.cloud import Bundle
from tests.infra.azureml.batch.batches import lean, with_batch


@pytest.fixture(scope="session")
def whole(
    versions: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    """As they are packed, "a", "b" and "c"."""
    folder = tmp_path_factory.mktemp("batches")
    return {name: with_batch(bundle, folder / name) for name, bundle in versions.items()}


@pytest.fixture(scope="session")
def bundles(whole: dict[str, Bundle]) -> dict[str, Bundle]:
    """With little code, so that there are fewer calls."""
    return {name: lean(bundle) for name, bundle in whole.items()}
