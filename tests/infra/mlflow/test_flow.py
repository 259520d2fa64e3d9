"""Deploy, update, roll back and delete, at MLflow's own store."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound, PublishFailed, WrongAnswer
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.infra.mlflow.conftest import FILES, Answers, at, deploy, sqlite
from tests.infra.plan_json import plan_of
from tests.infra.quiet import QuietReport


def test_the_first_deployment(cloud: MlflowCloud, versions: dict[str, Bundle]) -> None:
    assert cloud.status().state == "absent"
    text = plan_text(deploy(cloud, versions["a"]))
    status = cloud.status()
    assert (status.state, status.url) == ("READY", "models:/squad@champion")
    assert (status.version, status.previous) == (versions["a"].version, "")
    assert status.resources[:2] == (
        ("registered model", "squad", "registered"),
        ("version", "squad/1", "READY, champion"),
    )
    assert f"version squad:{versions['a'].version}" in text
    assert cloud.server.place.shown in text


def test_again_there_is_nothing_to_do_but_to_ask_it(
    cloud: MlflowCloud, answers: Answers, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan = deploy(cloud, versions["a"])
    assert plan.changes == ()
    assert "nothing to do" in plan_text(plan)
    assert answers.asked == ["a", "a"]


def test_a_plan_that_was_written_and_read_again_does_the_same(
    cloud: MlflowCloud, versions: dict[str, Bundle]
) -> None:
    plan = cloud.plan_deploy(versions["a"])
    again = plan_of(plan.to_json())
    assert again == plan
    apply(again, cloud, QuietReport())
    assert cloud.status().version == versions["a"].version
    again = plan_of(cloud.plan_delete().to_json())
    apply(again, cloud, QuietReport())
    assert cloud.status().state == "absent"


def test_update_and_back_and_back_again(cloud: MlflowCloud, versions: dict[str, Bundle]) -> None:
    a, b = versions["a"].version, versions["b"].version
    deploy(cloud, versions["a"])
    deploy(cloud, versions["b"])
    live = []
    for _ in range(2):
        live.append((cloud.status().version, cloud.status().previous))
        apply(cloud.plan_rollback(), cloud, QuietReport())
    assert live == [(b, a), (a, b)]
    assert cloud.status().version == b


def test_versions_that_have_served_stay_and_serve_again(
    cloud: MlflowCloud, versions: dict[str, Bundle]
) -> None:
    for name in "abca":
        deploy(cloud, versions[name])
    state = cloud._read()
    assert (state.champion, state.previous, list(state.ours)) == ("1", "3", ["1", "2", "3"])


def test_a_wrong_answer_changes_nothing_that_serves(
    cloud: MlflowCloud, answers: Answers, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    before = cloud.status()
    answers.wrong.add("b")
    with pytest.raises(WrongAnswer, match="Removed what was not proved") as raised:
        deploy(cloud, versions["b"])
    assert "Bob" in str(raised.value)
    assert cloud.status() == before


def test_a_first_version_with_a_wrong_answer_leaves_nothing(
    cloud: MlflowCloud, answers: Answers, versions: dict[str, Bundle]
) -> None:
    answers.wrong.add("a")
    with pytest.raises(WrongAnswer):
        deploy(cloud, versions["a"])
    assert cloud.status().state == "absent"
    assert not [path for path in artifacts(cloud).rglob("*") if path.is_file()]


def test_what_failed_may_be_kept_and_is_deleted_apart(
    cloud: MlflowCloud, answers: Answers, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    before = cloud.status()
    answers.wrong.add("b")
    with pytest.raises(WrongAnswer, match=r"Kept, as --keep-failed.*files.*takes space"):
        deploy(cloud, versions["b"], keep_failed=True)
    assert ("version", "squad/2", "READY, challenger, not proved") in cloud.status().resources
    apply(cloud.plan_delete_unproved(), cloud, QuietReport())
    assert cloud.status() == before
    assert cloud.plan_delete_unproved().steps == ()


def test_delete_leaves_the_experiment_alone(
    cloud: MlflowCloud, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    plan = cloud.plan_delete()
    assert "experiment onnxferry" in plan_text(plan)
    apply(plan, cloud, QuietReport())
    assert cloud.status().state == "absent"
    assert not [path for path in artifacts(cloud).rglob("*") if path.is_file()]
    assert cloud.plan_delete().changes == ()
    deploy(cloud, versions["a"])
    assert cloud.status().version == versions["a"].version


def test_what_is_registered_is_the_package_byte_for_byte(
    cloud: MlflowCloud, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    deploy(cloud, versions["a"])
    package = versions["a"].package
    (champion,) = cloud._read().ours.values()
    with cloud._smoke_test().fetched(champion) as folder:
        for member in package.members:
            assert (folder / member.path).read_bytes() == (package.path / member.path).read_bytes()


def test_files_that_somebody_has_changed_are_refused(
    cloud: MlflowCloud, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    (spec,) = artifacts(cloud).rglob("model_spec.json")
    spec.write_text(spec.read_text().replace('"name": "a"', '"name": "x"'))
    with pytest.raises(PublishFailed, match="version 1: its files are not those of the package"):
        deploy(cloud, versions["a"])


def test_nothing_to_roll_back_to(cloud: MlflowCloud, versions: dict[str, Bundle]) -> None:
    with pytest.raises(NotFound, match="no previous version"):
        cloud.plan_rollback()
    deploy(cloud, versions["a"])
    with pytest.raises(NotFound, match="no previous version"):
        cloud.plan_rollback()


def test_invoke_asks_the_champion(cloud: MlflowCloud, versions: dict[str, Bundle]) -> None:
    request = Request(json.dumps({"inputs": tiny.QUESTION}).encode())
    with pytest.raises(NotFound, match="deploy one"):
        cloud.invoke(request, 60)
    deploy(cloud, versions["a"])
    deploy(cloud, versions["b"])
    reply = cloud.invoke(request, 60)
    assert (reply.status, reply.served_by) == (200, "squad/2")
    assert json.loads(reply.body)["predictions"][0]["answer"] == "1946"


def test_logs_are_elsewhere(cloud: MlflowCloud) -> None:
    with pytest.raises(NotFound, match="models:/squad@champion"):
        cloud.logs(10)


def test_list_names_all_that_was_made(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    server.create_model("theirs", {})
    deploy(cloud, versions["a"])
    found = {(one.kind, one.name, one.endpoint) for one in cloud.listed() if one.kind not in FILES}
    assert found == {("registered model", "squad", "squad"), ("version", "squad/1", "squad")}
    (logged,) = (one for one in cloud.listed() if one.kind in FILES)
    assert (logged.version, logged.state) == (versions["a"].version, "stored")


def test_tags_of_deploy_toml_are_put_and_changed(
    server: MlflowServer, answers: Answers, versions: dict[str, Bundle]
) -> None:
    deploy(at(server, answers, tags={"team": "ml"}), versions["a"])
    plan = deploy(at(server, answers, tags={"team": "nlp"}), versions["a"])
    assert [(s.action, s.resource) for s in plan.changes] == [
        (Action.UPDATE, "tags of registered model"),
        (Action.UPDATE, "tags of version"),
    ]
    (version,) = server.versions("squad")
    found = server.model("squad")
    assert found
    assert found.tags["team"] == version.tags["team"] == "nlp"


def test_drift_is_an_alias_that_somebody_has_moved(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    deploy(cloud, versions["b"])
    server.set_alias("squad", "champion", "1")
    plan = cloud.plan_deploy(versions["b"])
    assert [(s.action, s.name) for s in plan.changes if s.action is Action.UPDATE] == [
        (Action.UPDATE, "squad@champion")
    ]


def test_no_database_is_there_yet(
    tmp_path: Path,
    answers: Answers,
    versions: dict[str, Bundle],
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planning makes none; deploying does, and says where. `empty_database` was made so."""
    place = sqlite(tmp_path / "made" / "mlflow.db")
    cloud = at(MlflowServer(place), answers)
    made = partial(shutil.copytree, empty_database.parent, tmp_path / "made")
    monkeypatch.setattr(MlflowServer, "create_database", lambda server: made())
    cloud.sign_in()
    plan = cloud.plan_deploy(versions["a"])
    assert not (tmp_path / "made").exists()
    assert plan.steps[0].resource == "database"
    assert str(tmp_path / "made" / "mlflow.db") in plan_text(plan)
    assert "(takes space in the server's store)" in plan_text(plan)
    assert "billed" not in plan_text(plan)
    assert plan.foundation == 1
    assert (cloud.status().state, cloud.listed()) == ("absent", [])
    apply(plan, cloud, QuietReport())
    assert cloud.status().version == versions["a"].version
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"mlflow.db", "artifacts"}


def artifacts(cloud: MlflowCloud) -> Path:
    assert cloud.server.place.database
    return cloud.server.place.database.parent / "artifacts"
