"""Where the way leads: to each target's fake, or to an account."""

from __future__ import annotations

import functools
import importlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnxferry.infra.waiting import Clock
from onnxferry.scripts import package as packages
from tests.fakes.aws import REGION, aws_server
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.infra.functions.azure_account import azure_account
from tests.infra.policies.accounts import kept_clients
from tests.infra.sagemaker.conftest import no_pauses
from tests.live.live_flow import Command, Said, in_a_process, in_this_process
from tests.packages import bare

QUICK = Clock(sleep=lambda seconds: time.sleep(0.002), interval=0)
SUBSCRIBED = f'subscription = "{SUBSCRIPTION}"\nresource_group = "rg"\n'


@pytest.fixture
def sagemaker() -> Iterator[str]:
    with aws_server() as server, server.reachable(), kept_clients(server), no_pauses():
        yield f'[sagemaker]\nregion = "{REGION}"\n'
        assert (dict(server.endpoints), server.keys, server.roles, server.logs) == ({}, {}, {}, [])


@pytest.fixture
def azureml() -> Iterator[str]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        fake.arm.add(*resources.TYPES)
        fake.add(*resources.routes(fake))
        MachineLearning(fake).workspace()
        yield f'[azureml]\n{SUBSCRIBED}workspace = "work"\n'


@pytest.fixture
def functions() -> Iterator[str]:
    with azure_account() as made:
        yield f"[functions]\n{SUBSCRIBED}"
        assert made.kinds() == []


@pytest.fixture
def on_fake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Command]:
    """on_fake(target): deploy.py against the target's fake, which is empty, and must be so at
    the end. Packages are without libraries, which no fake loads and which take a minute."""

    def at(target: str) -> Command:
        file = tmp_path / "deploy.toml"
        file.write_text(request.getfixturevalue(target), encoding="utf-8")
        if target != "azureml":  # what is added to its package are the files of `az ml`
            monkeypatch.setattr(packages, "layout_of", lambda name, image="": bare(name))
        room = importlib.import_module(f"onnxferry.infra.{target}")
        monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))
        return _command(in_this_process, target, file, tmp_path)

    return at


@pytest.fixture
def on_account(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Command]:
    """on_account(target): deploy.py with the settings of --live-config and whoever is signed in
    here; the test is skipped unless --run-live names the target."""

    def at(target: str) -> Command:
        if target not in (request.config.getoption("--run-live") or ()):
            pytest.skip(f"needs --run-live {target}, and an account, which it costs")
        return _command(
            in_a_process, target, request.config.getoption("--live-config").resolve(), tmp_path
        )

    return at


def _command(run: Callable[..., Said], target: str, file: Path, folder: Path) -> Command:
    name = f"live-{uuid.uuid4().hex[:8]}"  # function apps share their names with all of Azure
    where = ("--target", target, "--config", str(file))
    named = (*where, "--name", name)
    options = {"list": where, "template": named, "compare": named}
    built = (*named, "--out", str(folder / "build"))
    return lambda action, *more: run(action, *options.get(action, built), *more)
