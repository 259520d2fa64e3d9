"""Two processes deploy different versions to one registered model at once, one of them killed in
half the rounds: champion is always on a proved version, and who was not killed was told so."""

from __future__ import annotations

import random
import time

import pytest

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.mlflow.names import Names
from onnxferry.infra.mlflow.state import CurrentState, read_state
from onnxferry.infra.target_tables import MLflow
from tests.infra.mlflow.conftest import Answers
from tests.infra.two_deployers import Work, at_once, deploying, short_leases, truthful

__all__ = ["short_leases"]
pytestmark = [pytest.mark.host, pytest.mark.rounds]
NAMES = Names("contested", "contested")


def cloud(url: str) -> MlflowCloud:
    """A process's own: two may not share a connection."""
    return MlflowCloud(MlflowServer(Place(url)), NAMES, MLflow(experiment="contested"), Answers())


def deployer(url: str, bundle: Bundle, *, force: bool = False) -> Work:
    return lambda: deploying(cloud(url), bundle, force=force)


def live(url: str) -> CurrentState:
    """What is there; champion is on a version that has proved itself."""
    state = read_state(MlflowServer(Place(url)), NAMES)
    assert state.champion in state.ours
    assert state.champion not in {one.number for one in state.unproved}
    return state


def test_two_at_once(tracking_url: str, versions: dict[str, Bundle], short_leases: None) -> None:
    chance, began = random.Random(1), time.monotonic()  # noqa: S311
    (first,) = at_once([deployer(tracking_url, versions["a"])])
    assert first.how == "done", first
    took = time.monotonic() - began
    for number in range(10):
        state = live(tracking_url)
        before = state.version(state.champion)
        others = [one for one in versions.values() if one.version != before]
        kill = chance.uniform(0, 1.5 * took) if number % 2 else None
        told = at_once([deployer(tracking_url, one) for one in others], kill)
        state = live(tracking_url)
        truthful(told, state.version(state.champion), before)
        (last,) = at_once([deployer(tracking_url, others[0], force=True)])
        assert last.how == "done", last
        state = live(tracking_url)
        assert state.version(state.champion) == others[0].version
        assert not state.challenger
        assert not state.unproved
        assert not state.unused()
