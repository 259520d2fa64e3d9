"""Keys are shown only where that is asked for, and renewed one after the other, so that clients
never stand without one."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry.cli import cli
from onnxferry.infra import azureml as room
from onnxferry.infra.access_keys import fingerprint
from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import MADE
from onnxferry.infra.cloud import Bundle, HasKeys, HasLogPlaces, OnlineEndpoint
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.lease import held, this_run
from onnxferry.infra.log_feeds import LogPlace
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.fakes.azure.providers.online_scoring import KEY
from tests.infra.azureml.conftest import NAME, QUICK, deploy
from tests.infra.azureml.test_flow import endpoint

Command = Callable[..., Result]
QUESTION = Request(json.dumps({"inputs": {"question": "Who?", "context": "Rebecca."}}).encode())


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """command("--show"): the command `keys`; no key is on it but where it is asked for."""
    file = tmp_path / "deploy.toml"
    where = f'subscription = "{SUBSCRIPTION}"\nresource_group = "rg"\nworkspace = "work"\n'
    file.write_text(f"[azureml]\n{where}", encoding="utf-8")
    monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))

    def run(*more: str) -> Result:
        words = ["keys", "--target", "azureml", "--name", NAME, "--config", str(file), *more]
        done = CliRunner().invoke(cli, words)
        if not isinstance(done.exception, SystemExit | None):
            raise done.exception
        assert "--show" in more or KEY not in done.output
        return done

    return run


def answers(azure: AzureFake, ml: MachineLearning, key: str) -> int:
    """The status that somebody gets who shows that key."""
    from onnxferry.infra.clients.azureml_http import send

    return send(endpoint(azure)["properties"]["scoringUri"], key, QUESTION).status


def test_renewed_without_a_gap(
    cloud: OnlineEndpoint,
    azure: AzureFake,
    ml: MachineLearning,
    versions: dict[str, Bundle],
    command: Command,
) -> None:
    assert "there is none" not in command().output
    deploy(cloud, versions["a"])
    first = dict(ml.keys_of(NAME))
    told = command()
    assert "Authorization: Bearer KEY" in told.stdout
    assert f"secondary: fingerprint {fingerprint(first['Secondary'])}" in told.stdout
    assert command("--show").stdout == f"{first['Primary']}\n"

    asked = command("--rotate")  # nobody answers
    assert (asked.exit_code, "give --yes" in asked.output, ml.keys_of(NAME)) == (2, True, first)
    done = command("--rotate", "--yes", "--show", "secondary")
    second = dict(ml.keys_of(NAME))
    assert second["Primary"] == first["Primary"]
    assert done.stdout == f"{second['Secondary']}\n" != f"{first['Secondary']}\n"
    assert "all clients should use the primary one by now" in done.stderr
    assert "when none uses the primary key any more" in " ".join(done.stderr.split())
    assert [answers(azure, ml, key) for key in (*first.values(), *second.values())] == [
        200,
        401,
        200,
        200,
    ]

    data = json.loads(command("--rotate", "primary", "--yes", "--output", "json").stdout)
    third = ml.keys_of(NAME)
    assert (third["Secondary"], answers(azure, ml, first["Primary"])) == (second["Secondary"], 401)
    assert data["keys"][0] == {"name": "primary", "fingerprint": fingerprint(third["Primary"])}
    assert cloud.invoke(QUESTION, 60).status == 200


def test_a_step_that_is_done_twice_renews_once(
    cloud: OnlineEndpoint, azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    assert isinstance(cloud, HasKeys)
    plan = cloud.plan_rotate("secondary")
    assert KEY not in plan.to_json()
    apply(plan, cloud)
    once = dict(ml.keys_of(NAME))
    apply(plan, cloud)
    assert ml.keys_of(NAME) == once

    planned = cloud.plan_rotate("primary")
    endpoint(azure)["tags"].pop(MADE)
    for run in (lambda: apply(planned, cloud), lambda: cloud.plan_rotate("primary")):
        with pytest.raises(Refused, match="its keys stay"):
            run()
    assert ml.keys_of(NAME) == once


def test_not_while_another_run_is_at_work(
    cloud: OnlineEndpoint, ml: MachineLearning, versions: dict[str, Bundle], command: Command
) -> None:
    deploy(cloud, versions["a"])
    before = dict(ml.keys_of(NAME))
    with held(cloud.lease_store, this_run("deploy"), print):
        refused = command("--rotate", "--yes")
    assert (refused.exit_code, "works at this endpoint" in refused.stderr) == (1, True)
    assert ml.keys_of(NAME) == before


def test_without_keys_it_says_what_applies(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle], command: Command
) -> None:
    deploy(cloud, versions["a"])
    modes = {"AMLToken": "get-credentials", "AADToken": "onlineEndpoints/score/action"}
    for mode, says in modes.items():
        endpoint(azure)["properties"]["authMode"] = mode
        assert says in command().stdout
        refused = command("--rotate", "--yes")
        assert (refused.exit_code, says in " ".join(refused.stderr.split())) == (1, True), mode
        assert command("--show").exit_code == 1


def test_logs_of_both_containers_and_of_what_is_not_up(
    cloud: OnlineEndpoint, azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    assert isinstance(cloud, HasLogPlaces)
    ml.container_logs |= {"StorageInitializer": "fetched 1\nfetched 2", "InferenceServer": "up"}
    shown = "[storage-initializer] fetched 2\n[inference-server] up"
    assert cloud.logs(1) == "up"
    assert cloud.at(LogPlace("storage-initializer")).logs(5) == "fetched 1\nfetched 2"
    both = cloud.at(LogPlace("all"))
    assert both.logs(1) == shown
    feed = both.log_feed(1, None)  # type: ignore[attr-defined]
    assert feed() == shown.splitlines()
    ml.container_logs["InferenceServer"] += "\nasked"
    assert feed() == ["[inference-server] asked"]
    with pytest.raises(UsageError, match="AzureML has inference-server, storage-initializer, all"):
        cloud.at(LogPlace("sidecar"))

    (name,) = endpoint(azure)["properties"]["traffic"]
    endpoint(azure)["properties"]["traffic"] = {}
    ml.container_logs[f"{name}/InferenceServer"] = "it crashed"
    with pytest.raises(NotFound, match=rf"has {name} \(Succeeded\); .* --deployment NAME"):
        cloud.logs(1)
    assert cloud.at(LogPlace(deployment=name)).logs(1) == "it crashed"
    with pytest.raises(NotFound, match="has no deployment blue; it has"):
        cloud.at(LogPlace(deployment="blue")).logs(1)
