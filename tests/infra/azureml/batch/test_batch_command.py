"""The command `batch --target azureml`: what it says, what it leaves at work, what it brings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra.azureml.batch import cloud as batch_cloud
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.waiting import Clock
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.infra.azureml.batch.batches import GOOD, STORE, put
from tests.infra.azureml.conftest import NAME, QUICK
from tests.infra.proved import prove

Batch = Callable[..., Result]


@pytest.fixture
def batch(
    ml: MachineLearning,
    azure: AzureFake,
    bundles: dict[str, Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Batch:
    """batch("--cancel", ...): the command, in this process, by a clock that does not wait."""
    folder = tiny.question_answering(tmp_path / "model")
    prove(folder)
    clocks = [QUICK]
    connect = batch_cloud.connect
    monkeypatch.setattr(
        batch_cloud, "connect", lambda config, name: connect(config, name, clocks[0])
    )
    # of the same model, with the files of a batch and little code
    monkeypatch.setattr("onnxferry.infra.batch_command._bundle", lambda given: bundles["a"])
    file, text = tmp_path / "deploy.toml", f'subscription = "{SUBSCRIPTION}"\nworkspace = "work"\n'
    file.write_text(f'[azureml]\nresource_group = "rg"\n{text}', encoding="utf-8")
    put(azure, {"a.jsonl": GOOD, "deep/b.jsonl": GOOD})
    places = ["--input", f"{STORE}/in/", "--output", f"{STORE}/out/"]
    known = ["--target", "azureml", "--name", NAME, "--config", str(file), "--model", str(folder)]

    def run(*more: str, at: Clock = QUICK, yes: bool = True) -> Result:
        clocks[:] = [at]
        words = ["batch", *known, *places, *more, *(["--yes"] if yes else [])]
        return CliRunner().invoke(cli.cli, words, catch_exceptions=False)

    return run


def test_it_says_what_it_costs_follows_brings_and_goes_on(
    ml: MachineLearning, batch: Batch, tmp_path: Path
) -> None:
    def interrupted(seconds: float) -> None:
        if ml.batch.jobs:
            raise KeyboardInterrupt

    done = batch(yes=False)
    assert (done.exit_code, ml.batch.jobs) == (2, {})
    assert "Scored here first: 2 row(s), 2 answered." in done.output
    assert "instance-hours of 1 x Standard_F2s_v2: some 4 rows" in done.output
    assert '(meter "Standard_F2s_v2")' in done.output
    done = batch("--no-wait", "--download", str(tmp_path))
    assert (done.exit_code, ml.batch.jobs) == (2, {})
    done = batch(at=Clock(sleep=interrupted))
    (job,) = ml.batch.jobs
    assert (done.exit_code, f"{job} goes on, and is billed" in done.output) == (130, True)
    done = batch("--cancel")
    assert (done.exit_code, ml.batch.jobs[job]["properties"]["status"]) == (0, "Canceled")
    ml.batch.trouble = {"b.jsonl": "lost"}
    done = batch("--format", "json", "--download", str(tmp_path / "got"))
    assert done.exit_code == 1
    assert "ended as Completed, and 1 of 2 file(s) have no answer. The same command" in done.output
    got = tmp_path / "got"
    assert [path.name for path in got.rglob("*") if path.is_file()] == ["a.jsonl.out"]
    ml.batch.trouble.clear()
    done = batch("--format", "json", "--download", str(got))
    said = json.loads(done.stdout)
    assert (said["state"], said["answered"], said["files"]) == ("Completed", 2, 2)
    assert (got / "deep/b.jsonl.out").read_bytes() == (got / "a.jsonl.out").read_bytes()
    again = batch()
    assert (again.exit_code, "nothing was missing" in again.stdout) == (0, True)
