"""Two processes deploy different versions to one endpoint at once, one of them killed in half the
rounds: there is always one proved version live, and who was not killed was told so."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from onnxferry.infra.cloud import Bundle
from tests.fakes.aws import AwsServer
from tests.infra.sagemaker.conftest import NAME, cloud, make_clients, no_pauses
from tests.infra.two_deployers import Told, Work, at_once, deploying, short_leases, truthful

__all__ = ["short_leases"]


@pytest.fixture
def account(short_leases: None) -> Iterator[AwsServer]:
    """An account that processes reach by the network. Its clients are made once, and this process
    sends nothing by them: two processes may not share a connection."""
    aws = AwsServer()
    with aws.reachable(), no_pauses(), aws.answering():
        make_clients()
        yield aws
    aws.close()
    assert aws.violations == []


def deployer(bundle: Bundle, *, force: bool = False) -> Work:
    return lambda: deploying(cloud(), bundle, force=force)


def live(aws: AwsServer) -> str:
    """The version that serves, which is one that proved itself before."""
    aws.endpoints.finish()
    found = aws.endpoints[NAME]
    assert (found.state, found.serving) == ("InService", True)
    assert found.config in aws.sagemaker.endpoint_configs
    changes = [change for change in aws.endpoints.changes if change.endpoint == NAME]
    assert all(change.config and change.proved for change in changes[1:])
    return found.config.split("-")[1]


def settled(aws: AwsServer) -> None:
    """Nothing is left of what was under way."""
    found = aws.endpoints[NAME]
    assert list(aws.endpoints) == [NAME]
    assert found.tags["onnxferry:previous"].split()[0] == found.config
    assert found.tags["onnxferry:version"] == found.config.split("-")[1]


def play(aws: AwsServer, bundles: tuple[Bundle, ...], kill: float | None) -> list[Told]:
    """One round, from one version live to one version live."""
    before = live(aws)
    others = [each for each in bundles if each.version != before]
    told = at_once([deployer(each) for each in others], kill)
    truthful(told, live(aws), before)
    done = [one for one in told if one.how == "done"]
    assert live(aws) in {before, *(each.version for each in others)}
    assert done or any(one.how == "killed" for one in told)
    if any(one.how == "killed" for one in told):
        last = at_once([deployer(others[0], force=True)])
        truthful(last, others[0].version, before)
        assert live(aws) == others[0].version
    settled(aws)
    return told


def rounds(aws: AwsServer, bundles: tuple[Bundle, ...], count: int, seed: int) -> list[str]:
    """How the processes of `count` rounds ended."""
    chance, began = random.Random(seed), time.monotonic()  # noqa: S311
    (first,) = at_once([deployer(bundles[0])])
    assert first.how == "done", first
    within = 1.5 * (time.monotonic() - began)
    kills = [chance.uniform(0, within) if i % 2 else None for i in range(count)]
    return [one.how for kill in kills for one in play(aws, bundles, kill)]


def test_two_deployers_at_once(account: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    ended = rounds(account, bundles, 3, seed=1)
    assert "done" in ended


@pytest.mark.rounds
def test_fifty_rounds_of_two_deployers(account: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    ended = rounds(account, bundles, 50, seed=int(time.time()))
    assert {"done", "held", "killed"} <= set(ended)
