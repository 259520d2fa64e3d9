"""Two processes deploy different versions to one app at once, one of them killed in half the
rounds: there is always one proved version live, and who was not killed was told so."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from onnxferry.infra.cloud import Bundle
from tests.infra.functions.azure_account import APP, AzureAccount, azure_account
from tests.infra.two_deployers import Told, Work, at_once, deploying, short_leases, truthful

__all__ = ["short_leases"]
Versions = tuple[Bundle, ...]


@pytest.fixture
def account(short_leases: None) -> Iterator[AzureAccount]:
    """An account that processes reach by the network. This process sends it nothing: two may not
    share a connection."""
    with azure_account(sockets=True) as made:
        made.fake.operations.polls = 0
        yield made


def deployer(azure: AzureAccount, version: Bundle, *, force: bool = False) -> Work:
    return lambda: deploying(azure.cloud(), version, force=force)


def live(azure: AzureAccount) -> str:
    """The version that serves; none took another's place that had not proved itself before."""
    assert azure.apps.unproved == []
    assert azure.serves()
    return azure.serves()[:12]


def settled(azure: AzureAccount) -> None:
    """The tags say what serves, its host is up, and nothing is left of what was under way."""
    assert azure.apps.up(APP)
    tags = azure.tags()
    assert (tags["onnxferry-version"], tags["onnxferry-publishing"]) == (azure.serves(), "")
    assert not [kind for kind in azure.kinds() if "candidate" in kind]


def play(azure: AzureAccount, versions: Versions, kill: float | None) -> list[Told]:
    """One round, from one version live to one version live."""
    before = live(azure)
    others = [each for each in versions if each.version != before]
    told = at_once([deployer(azure, each) for each in others], kill)
    killed = any(one.how == "killed" for one in told)
    truthful(told, live(azure), before)
    assert killed or any(one.how == "done" for one in told)
    if killed:
        last = at_once([deployer(azure, others[0], force=True)])
        truthful(last, others[0].version, before)
        assert live(azure) == others[0].version
    settled(azure)
    return told


def rounds(azure: AzureAccount, versions: Versions, count: int, seed: int) -> list[str]:
    """How the processes of `count` rounds ended."""
    chance, began = random.Random(seed), time.monotonic()  # noqa: S311
    (first,) = at_once([deployer(azure, versions[0])])
    assert first.how == "done", first
    within = 1.5 * (time.monotonic() - began)
    kills = [chance.uniform(0, within) if i % 2 else None for i in range(count)]
    return [one.how for kill in kills for one in play(azure, versions, kill)]


def test_two_deployers_at_once(account: AzureAccount, versions: Versions) -> None:
    assert "done" in rounds(account, versions, 3, seed=1)


@pytest.mark.rounds
@pytest.mark.timeout(7200)
def test_fifty_rounds_of_two_deployers(account: AzureAccount, versions: Versions) -> None:
    ended = rounds(account, versions, 50, seed=int(time.time()))
    assert {"done", "held", "killed"} <= set(ended)
