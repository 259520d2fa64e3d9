"""What somebody else made, in the registry or by hand since, is neither changed nor deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NotFound, Refused
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.plan import Plan
from onnxferry.infra.plan_text import plan_text
from tests.infra.mlflow.conftest import deploy
from tests.infra.quiet import QuietReport


def run(plan: Plan, cloud: MlflowCloud) -> None:
    apply(plan, cloud, QuietReport())


def their_version(server: MlflowServer, folder: Path) -> str:
    """The number of a version that somebody has registered beside ours."""
    (folder / "theirs").mkdir()
    (folder / "theirs" / "MLmodel").write_text("flavors: {}")
    experiment = server.create_experiment("theirs")
    logged = server.log(experiment, folder / "theirs", "theirs", {})
    return server.create_version("squad", logged, {}).number


def test_a_model_of_that_name_is_somebody_elses(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    server.create_model("squad", {"team": "theirs"})
    with pytest.raises(Refused, match=r"onnxferry did not make it.*--name"):
        cloud.plan_deploy(versions["a"])
    with pytest.raises(Refused, match="did not make it"):
        cloud.plan_rollback()
    assert cloud.plan_delete().steps == ()
    assert ("registered model", "squad", "not onnxferry's") in cloud.status().resources


def test_champion_on_their_version_is_theirs(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    deploy(cloud, versions["a"])
    server.set_alias("squad", "champion", their_version(server, tmp_path))
    with pytest.raises(Refused, match=r"alias champion is on version 2.*did not make that"):
        cloud.plan_deploy(versions["b"])
    with pytest.raises(Refused, match="alias champion is on version 2"):
        cloud.plan_rollback()


def test_their_version_and_its_files_stay(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    deploy(cloud, versions["a"])
    number = their_version(server, tmp_path)
    server.set_alias("squad", "theirs", number)
    deploy(cloud, versions["b"])
    plan = cloud.plan_delete()
    assert f"version {number} of it" in plan_text(plan)
    run(plan, cloud)
    found = server.model("squad")
    assert found
    assert found.aliases == {"theirs": number}
    assert [one.number for one in server.versions("squad")] == [number]
    assert cloud.plan_delete().steps == ()


def test_files_that_they_have_registered_stay(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    """A version of theirs may be made of what we have logged."""
    deploy(cloud, versions["a"])
    (logged,) = cloud._read().logged
    server.create_version("squad", logged, {})
    run(cloud.plan_delete(), cloud)
    assert [one.number for one in server.versions("squad")] == ["2"]
    assert cloud._read().logged == [logged]


def test_versions_with_an_alias_of_theirs_are_no_leftovers(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    deploy(cloud, versions["b"])
    server.set_alias("squad", "audited", "1")
    deploy(cloud, versions["c"])
    assert cloud.plan_delete_unproved().steps == ()
    assert server.model("squad").aliases["audited"] == "1"  # type: ignore[union-attr]


def after_planning(plan: Plan, cloud: MlflowCloud, match: str) -> None:
    with pytest.raises((NameTaken, Refused, NotFound), match=match):
        run(plan, cloud)


def test_the_name_was_taken_since(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    plan = cloud.plan_deploy(versions["a"])
    server.create_model("squad", {"team": "theirs"})
    after_planning(plan, cloud, "somebody else has just made it")
    found = server.model("squad")
    assert found
    assert found.tags == {"team": "theirs"}
    assert cloud._read().logged == []


def test_champion_was_moved_since(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    plan = cloud.plan_deploy(versions["c"])
    server.set_alias("squad", "champion", "1")
    after_planning(plan, cloud, "another run has moved alias champion since: it is on version 1")
    assert cloud.status().version == versions["a"].version


def test_a_version_became_champion_since(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    """So it is not deleted as a leftover."""
    deploy(cloud, versions["a"])
    logged = server.log(
        server.create_experiment("onnxferry"), versions["b"].package.path, "b", marks(versions["b"])
    )
    number = server.create_version("squad", logged, marks(versions["b"])).number
    plan = cloud.plan_delete_unproved()
    assert [step.name for step in plan.steps] == [f"squad/{number}", logged.id]
    server.set_alias("squad", "champion", number)
    after_planning(plan, cloud, "alias champion is on it, so it stays")
    assert [one.number for one in server.versions("squad")] == ["1", number]


def marks(bundle: Bundle) -> dict[str, str]:
    sha256 = bundle.package.sha256
    return {"onnxferry": "squad", "onnxferry_version": bundle.version, "onnxferry_sha256": sha256}


def test_the_model_lost_its_mark_since(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan = cloud.plan_delete()
    server.tag_model("squad", {"onnxferry": "no more"})
    after_planning(plan, cloud, "onnxferry did not make it")
    assert server.model("squad")


def test_files_are_gone(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    (logged,) = cloud._read().logged
    server.delete_logged(logged)
    with pytest.raises(NotFound, match="version 1: its files are gone from experiment onnxferry"):
        deploy(cloud, versions["a"])


def test_two_endpoints_share_an_experiment(
    cloud: MlflowCloud, server: MlflowServer, versions: dict[str, Bundle]
) -> None:
    other = replace(cloud, names=replace(cloud.names, endpoint="other"))
    deploy(cloud, versions["a"])
    deploy(other, versions["a"])
    run(cloud.plan_delete(), cloud)
    assert other.status().version == versions["a"].version
    assert [one.endpoint for one in other.listed()] == ["other"] * 3
    deploy(other, versions["a"])
