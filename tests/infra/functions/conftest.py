"""One account for all tests of a file, empty at the start of each, and three versions to deploy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onnxferry.infra.cloud import Bundle
from tests.infra.functions.azure_account import AzureAccount, azure_account, bundle


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, Bundle]:
    """Three packages with differing answers to the golden request."""
    folder = tmp_path_factory.mktemp("versions")
    return bundle(folder, "rebecca"), bundle(folder, "dolly"), bundle(folder, "parton")


# not longer: it changes whom this process trusts, and pip would, too
@pytest.fixture(scope="module")
def shared_account(request: pytest.FixtureRequest) -> Iterator[tuple[AzureAccount, object]]:
    """Without sockets, unless the test's file has SOCKETS = True."""
    with azure_account(sockets=getattr(request.module, "SOCKETS", False)) as made:
        yield made, made.snapshot()


@pytest.fixture
def azure(
    shared_account: tuple[AzureAccount, object], keep_bodies: Callable[[Any], None]
) -> Iterator[AzureAccount]:
    """Azure on loopback, with nothing in the subscription."""
    made, empty = shared_account
    made.restore(empty)
    yield made
    keep_bodies(made.fake.arm.puts)
    made.fake.arm.puts.clear()
