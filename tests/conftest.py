"""Options and fixtures that several rooms' tests share."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from onnxferry.targets import clouds


def pytest_configure(config: pytest.Config) -> None:
    """In the background (`make test &`) Ctrl-C is ignored, and what a test starts would inherit
    that. PyTorch gets one thread, before it is there: several wait for each other by spinning,
    which costs other test processes their core."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["ONNXFERRY_PREPARE_CACHE_GB"] = "0"  # what a user's runs keep is theirs
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # on a busy machine nothing is too slow
    slow = hypothesis.HealthCheck.too_slow
    hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[slow])
    hypothesis.settings.load_profile("busy")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _own_temporary_folder(config)


def _own_temporary_folder(config: pytest.Config) -> None:
    """Many processes are killed here, in the middle of their work: what they leave goes with the
    folder. pytest's own folders, which failures keep, stay where they were."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="tests-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start hosting runtimes, trouble each call or need whole models come last, so that
    what fails fast is seen first; in several processes first, so that none of them waits for
    another's long file at the end."""
    slow = ("host", "faults", "models", "emulated")
    last = {item.path for item in items if any(map(item.get_closest_marker, slow))}
    several = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: item.path in last, reverse=several)


def pytest_collection_finish() -> None:
    """What is there by now, the libraries that all test files import, stays: the garbage collector
    need not look through millions of objects again and again."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data",
        type=Path,
        help="a folder with squad-dev-v1.1.json and goemotions/test.tsv: compare 200 items of each",
    )
    parser.addoption(
        "--run-live",
        action="append",
        choices=[
            target for target in clouds() if target != "mlflow"
        ],  # see tests/live/test_live.py
        help=(
            "deploy to this target for real, with the account that is signed in here; may be"
            " repeated"
        ),
    )
    parser.addoption(
        "--live-config", type=Path, default=Path("deploy.toml"), help="the settings for --run-live"
    )
    parser.addoption(
        "--bodies",
        type=Path,
        help="keep the bodies that the fake of Azure was sent there, to check them elsewhere",
    )


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """data("file") is the path of an evaluation file; without it, or without --data, the test is
    skipped."""

    def find(name: str) -> Path:
        folder: Path | None = request.config.getoption("--data")
        if folder is None or not (folder / name).is_file():
            pytest.skip(f"needs --data DIR with {name}")
        return folder / name

    return find


@pytest.fixture(scope="session")
def keep_bodies(request: pytest.FixtureRequest) -> Callable[[Iterable[tuple[str, str, Any]]], None]:
    """keep_bodies(azure.arm.puts) at a test's end writes each PUT's body below --bodies DIR, if
    that is given, as API-VERSION__TYPE__HASH.json; TYPE has dots for slashes, and equal bodies are
    one file, whichever process writes."""
    folder: Path | None = request.config.getoption("--bodies")

    def keep(puts: Iterable[tuple[str, str, Any]]) -> None:
        for version, type_, body in puts if folder else ():
            text = json.dumps(body, indent=2, sort_keys=True).encode()
            digest = hashlib.sha256(text).hexdigest()[:16]
            name = f"{version}__{type_.replace('/', '.')}__{digest}.json"
            if folder and not (folder / name).exists():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(text)

    return keep
