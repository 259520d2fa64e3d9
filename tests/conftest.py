"""Options and fixtures that several rooms' tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """In the background (`make test &`) Ctrl-C is ignored, and what a test starts would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data",
        type=Path,
        help="a folder with squad-dev-v1.1.json and goemotions/test.tsv: compare 200 items of each",
    )


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """data("file") is the path of an evaluation file; without it, or without --data, the test is skipped."""

    def find(name: str) -> Path:
        folder: Path | None = request.config.getoption("--data")
        if folder is None or not (folder / name).is_file():
            pytest.skip(f"needs --data DIR with {name}")
        return folder / name

    return find
