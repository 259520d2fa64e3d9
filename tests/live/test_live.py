"""One test, two places: the doubles, and with --run-live TARGET --live-config deploy.toml the
account of whoever runs it, where it makes an endpoint of its own and deletes it at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onnxferry.targets import clouds
from tests.live.walk import Command, walk


@pytest.mark.parametrize("target", clouds())
@pytest.mark.parametrize("place", ["double", "account"])
@pytest.mark.timeout(4 * 3600)
def test_the_whole_way(
    target: str, place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at: Callable[[str], Command] = request.getfixturevalue(f"on_{place}")
    walk(at(target), tmp_path)
