"""The same at MLflow's real server, through its proxy for artifacts, and by the command line; the
model is asked in a process of its own, as MLflow loads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxferry.cli import cli
from onnxferry.infra.apply import apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.mlflow.names import Names
from onnxferry.infra.target_tables import MLflow
from tests import tiny
from tests.infra.mlflow.conftest import FILES, Answers, deploy
from tests.infra.proved import prove
from tests.infra.quiet import QuietReport

pytestmark = pytest.mark.host


def run(*words: str | Path) -> Result:
    done = CliRunner().invoke(cli, list(map(str, words)))
    assert done.exit_code == 0, done.output + done.stderr
    return done


def test_a_user_deploys_asks_and_deletes(tracking_url: str, tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    prove(model)
    file = tmp_path / "deploy.toml"
    file.write_text(f'[mlflow]\ntracking_uri = "{tracking_url}"\nexperiment = "by-hand"\n')
    on = ("--target", "mlflow", "--model", model, "--name", "asked", "--config", file)
    build = ("--out", tmp_path / "build")
    told = run("deploy", *on, *build, "--yes").stderr
    assert "ok check golden requests to version asked:" in told
    assert "ok create alias asked@champion" in told
    status = json.loads(run("status", *on, "--output", "json").stdout)
    assert (status["state"], status["url"]) == ("READY", "models:/asked@champion")
    (tmp_path / "body.json").write_text(json.dumps({"inputs": tiny.QUESTION}))
    answered = run("invoke", *on, "--input", tmp_path / "body.json")
    assert json.loads(answered.stdout)["predictions"][0]["answer"] == "Rebecca"
    assert "served by asked/1" in answered.stderr
    assert "nothing to do" in run("drift", *on, *build).stdout
    run("delete", *on, *build, "--yes")
    assert json.loads(run("status", *on, "--output", "json").stdout)["state"] == "absent"


@pytest.fixture
def remote(tracking_url: str, answers: Answers) -> MlflowCloud:
    server = MlflowServer(Place(tracking_url))
    return MlflowCloud(server, Names("squad", "onnxferry"), MLflow(), answers)


def test_update_roll_back_load_and_delete(
    remote: MlflowCloud,
    answers: Answers,
    versions: dict[str, Bundle],
    tracking_url: str,
    stored: Path,
) -> None:
    """`stored` is where the server's proxy puts the files."""
    a, b = versions["a"].version, versions["b"].version
    deploy(remote, versions["a"])
    deploy(remote, versions["b"])
    assert (remote.status().version, remote.status().previous) == (b, a)
    apply(remote.plan_rollback(), remote, QuietReport())
    assert (remote.status().version, remote.status().previous) == (a, b)
    assert answers.asked == ["a", "b", "a"]
    assert {one.kind for one in remote.listed()} - FILES == {"registered model", "version"}
    assert loaded(tracking_url)[0]["answer"] == "Rebecca"
    assert len(list(stored.rglob("MLmodel"))) == 2
    apply(remote.plan_delete(), remote, QuietReport())
    assert remote.status().state == "absent"
    assert not [path for path in stored.rglob("*") if path.is_file()]


def loaded(tracking_url: str) -> Any:
    """What the user's own program gets of the champion, without anything of ours."""
    program = (
        "import mlflow, pandas;"
        "model = mlflow.pyfunc.load_model('models:/squad@champion');"
        f"print(model.predict(pandas.DataFrame([{tiny.QUESTION!r}])).to_json(orient='records'))"
    )
    environ = {**os.environ, "MLFLOW_TRACKING_URI": tracking_url}
    command = [sys.executable, "-c", program]
    return json.loads(subprocess.check_output(command, env=environ))


def test_a_lease_is_one_runs_at_the_server(remote: MlflowCloud) -> None:
    store = remote.lease_store()
    first = store.write("one", "")
    assert first
    assert store.write("two", "") is None
    found = store.read()
    assert found
    assert (found.text, found.etag) == ("one", first)
    assert 0 <= found.age < 60
    assert store.write("three", first)
    assert store.write("four", first) is None
