"""Options and fixtures that several rooms' tests share."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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
    parser.addoption(
        "--run-live",
        action="append",
        choices=("azureml", "functions", "sagemaker"),
        help="deploy to this target for real, with the account that is signed in here; may be repeated",
    )
    parser.addoption("--live-config", type=Path, default=Path("deploy.toml"), help="the settings for --run-live")
    parser.addoption(
        "--bodies", type=Path, help="keep the bodies that the fake of Azure was sent there, to check them elsewhere"
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


@pytest.fixture(scope="session")
def keep_bodies(request: pytest.FixtureRequest) -> Callable[[Iterable[tuple[str, str, Any]]], None]:
    """keep_bodies(azure.arm.puts) at a test's end writes each PUT's body below --bodies DIR, if that is given, as
    API-VERSION__TYPE__N.json; TYPE has dots for slashes, and equal bodies are written once."""
    folder: Path | None = request.config.getoption("--bodies")
    kept: dict[str, list[str]] = {}

    def keep(puts: Iterable[tuple[str, str, Any]]) -> None:
        for version, type_, body in puts if folder else ():
            name, text = f"{version}__{type_.replace('/', '.')}", json.dumps(body, indent=2, sort_keys=True)
            if folder and text not in kept.setdefault(name, []):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}__{len(kept[name])}.json").write_text(text, encoding="utf-8")
                kept[name].append(text)

    return keep
