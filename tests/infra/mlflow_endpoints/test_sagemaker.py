"""mlflow.deployments against the fake of AWS: what is in the account after each."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import CloudError, NameTaken, QuotaExceeded, WrongAnswer
from onnxferry.infra.mlflow.endpoints.sagemaker import MlflowSageMaker, connect
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.sagemaker.blue_green import watched
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.target_tables import SageMaker
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import PackageError, UsageError
from tests import tiny
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import limit
from tests.infra.mlflow_endpoints.conftest import NAME, mlflow_host
from tests.infra.plan_json import plan_of
from tests.infra.sagemaker.account import snapshot
from tests.infra.sagemaker.conftest import NOW, KeptSession, clock, settings_of

ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())
BUCKET = f"onnxferry-{ACCOUNT}-{REGION}"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/mlflow-pyfunc:3.17.2"


@pytest.fixture(autouse=True)
def served(aws: AwsServer, kept_resources: None) -> None:
    """Containers answer as MLflow's."""
    aws.hosts = mlflow_host


def cloud(**settings: Any) -> MlflowSageMaker:
    given = settings_of(**{"image": IMAGE, **settings})
    clients = AwsClients(given.profile, given.region, session=KeptSession)
    return MlflowSageMaker(clients, given, NAME, clock(), lambda: NOW)


def deploy(bundle: Bundle, **settings: Any) -> MlflowSageMaker:
    made = cloud(**settings)
    apply(made.plan_deploy(bundle), made)
    return made


def answer(made: MlflowSageMaker) -> Any:
    reply = made.invoke(ASK, 60)
    assert reply.status == 200
    return json.loads(reply.body)["predictions"][0]["answer"]


def test_the_first_deployment_answers(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    made = deploy(bundles["a"])
    live = aws.endpoints[NAME]
    assert (live.state, live.serving) == ("InService", True)
    assert answer(made) == bundles["a"].golden.answer["answer"]
    (model,) = aws.sagemaker._models.values()
    assert model.model_name.startswith(f"{NAME}-model-{bundles['a'].version}")
    assert model.primary_container["Image"] == IMAGE


def test_what_mlflow_deployments_makes_is_given_all_and_marked(
    aws: AwsServer, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    deploy(bundles["a"], environment={"ONNXFERRY_ENGINE_THREADS": "2"}, tags={"team": "search"})
    (model,), (config,) = aws.sagemaker._models.values(), aws.sagemaker.endpoint_configs.values()
    assert model.primary_container["Environment"] == {
        "MLFLOW_DEPLOYMENT_FLAVOR_NAME": "python_function",
        "SERVING_ENVIRONMENT": "SageMaker",
        "ONNXFERRY_ENGINE_THREADS": "2",
    }
    assert model.execution_role_arn == f"arn:aws:iam::{ACCOUNT}:role/{role()}"
    folder = model.model_name
    assert aws.keys == {BUCKET: [f"{folder}/golden.json", f"{folder}/model.tar.gz"]}
    marked = {"onnxferry:endpoint": f"mlflow/{NAME}", "onnxferry:version": bundles["a"].version}
    for tags in (model.tags, config.tags, [pair(t) for t in aws.endpoints[NAME].tags.items()]):
        found = {tag["Key"]: tag["Value"] for tag in tags}
        assert {**marked, "team": "search"}.items() <= found.items()
    assert os.environ["https_proxy"] == "http://user:secret@127.0.0.1:9"
    assert "HTTPS_PROXY" not in os.environ


def role() -> str:
    return f"onnxferry-mlflow-{NAME}-{REGION}"


def pair(tag: tuple[str, str]) -> dict[str, str]:
    return {"Key": tag[0], "Value": tag[1]}


def test_the_role_reads_the_archives_and_nothing_else(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    deploy(bundles["a"])
    (document,) = aws.roles[role()].policies.values()
    statements = json.loads(document)["Statement"]
    places = [f"arn:aws:s3:::{BUCKET}/{NAME}{kind}-model-*" for kind in ("", "-candidate")]
    assert statements[0]["Resource"] == places


def test_a_second_deployment_has_nothing_to_do(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    made = deploy(bundles["a"])
    planned = made.plan_deploy(bundles["a"])
    assert planned.changes == ()
    aws.begin()
    apply(planned, made)
    assert all(call.reads for call in aws.calls)


def test_planning_only_reads(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    planned = cloud().plan_deploy(bundles["a"])
    assert all(call.reads for call in aws.calls)
    created = [step.resource for step in planned.steps if step.action is Action.CREATE]
    hosted = ["model", "endpoint configuration", "endpoint"]
    assert created == ["bucket", "role", "package", "alarm", *hosted]
    assert f"endpoint {NAME} (billed by the hour)" in plan_text(planned)


def test_an_update_proves_a_candidate_and_what_served_is_kept_to_go_back_to(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    for name in "ab":
        made = deploy(bundles[name])
    changes = [(change.endpoint, change.proved) for change in aws.endpoints.changes]
    candidate = f"{NAME}-candidate"
    assert changes == [(NAME, False), (candidate, False), (candidate, False), (NAME, True)]
    assert set(aws.endpoints) == {NAME}
    watching = watched(aws.endpoints[NAME].deployment)
    assert watching == [name for name in aws.alarms.names if bundles["b"].version in name]
    status = made.status()
    assert (status.version, status.previous) == (bundles["b"].version, bundles["a"].version)
    assert answer(made) == bundles["b"].golden.answer["answer"]
    apply(made.plan_rollback(), made)
    assert answer(made) == bundles["a"].golden.answer["answer"]
    status = made.status()
    assert (status.version, status.previous) == (bundles["a"].version, bundles["b"].version)


def test_the_third_version_takes_all_of_the_first_away(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    for name in "abc":
        made = deploy(bundles[name])
    left = {*aws.sagemaker._models, *aws.sagemaker.endpoint_configs, *aws.keys[BUCKET]}
    assert not [name for name in left if bundles["a"].version in name]
    assert len(left) == 8  # a model, a configuration, an archive and its manifest, of two versions
    assert answer(made) == bundles["c"].golden.answer["answer"]


def test_a_version_that_is_there_is_brought_up_without_mlflow(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(bundles[name])
    aws.begin()
    made = deploy(bundles["a"])
    assert answer(made) == bundles["a"].golden.answer["answer"]
    made_anew = {"CreateModel", "CreateEndpointConfig", "PutObject"}
    assert not made_anew & {call.operation for call in aws.calls}


def test_other_settings_are_another_model_beside_the_one_that_serves(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    deploy(bundles["a"])
    made = deploy(bundles["a"], instance_count=2)
    assert (aws.endpoints[NAME].count, len(aws.sagemaker._models)) == (2, 2)
    apply(made.plan_rollback(), made)
    assert (aws.endpoints[NAME].count, len(aws.keys[BUCKET])) == (1, 4)


def test_all_that_was_made_is_listed(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    listed = deploy(bundles["a"]).listed()
    kinds = [one.kind for one in listed]
    hosted = ["endpoint", "endpoint configuration", "model"]
    assert sorted(kinds) == ["alarm", *hosted, "package", "role"]
    assert {one.endpoint for one in listed} == {f"mlflow/{NAME}"}
    assert {one.version for one in listed if one.kind != "role"} == {bundles["a"].version}


def test_deleting_leaves_nothing(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    for name in "ab":
        made = deploy(bundles[name])
    planned = made.plan_delete()
    apply(planned, made)
    assert (dict(aws.endpoints), aws.sagemaker._models, aws.sagemaker.endpoint_configs) == (
        {},
        {},
        {},
    )
    assert (aws.keys, aws.roles, aws.logs, aws.alarms.names) == ({}, {}, [], [])
    assert made.status().state == "absent"
    assert not made.plan_delete().changes


def test_what_is_somebody_elses_stays(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    made = deploy(bundles["a"])
    theirs = f"{NAME}-model-0123456789abcdef0123"  # as mlflow names it for anybody
    aws.s3.put_object(BUCKET, f"{theirs}/model.tar.gz", b"theirs")
    apply(made.plan_delete(), made)
    assert aws.keys == {BUCKET: [f"{theirs}/model.tar.gz"]}


def test_an_endpoint_of_target_sagemaker_is_not_taken(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    deploy(bundles["a"])
    given = SageMaker(region=REGION, image=IMAGE)
    clients = AwsClients(None, REGION, session=KeptSession)
    with pytest.raises(NameTaken, match="endpoint squad: it exists, and onnxferry did not make"):
        SageMakerCloud(clients, given, NAME, clock(), lambda: NOW).status()


def test_a_wrong_answer_leaves_what_served_and_nothing_new(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    made = deploy(bundles["a"])
    before = snapshot(aws)
    serving = aws.up[next(iter(aws.up))]
    aws.hosts = lambda folder: serving
    with pytest.raises(WrongAnswer, match="Removed what was not proved"):
        deploy(bundles["b"])
    aws.hosts = mlflow_host
    after = {key: value for key, value in snapshot(aws).items() if key[0] != "log group"}
    assert after == {key: value for key, value in before.items() if key[0] != "log group"}
    assert answer(made) == bundles["a"].golden.answer["answer"]


def test_refused_instances_leave_nothing_new(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    deploy(bundles["a"])
    before = snapshot(aws)
    aws.refusals["CreateEndpoint"] = limit("ml.m5.large for endpoint usage", 1, 1, 1)
    with pytest.raises(QuotaExceeded, match="Removed what was not proved"):
        deploy(bundles["b"])
    assert snapshot(aws) == before


def test_a_package_that_has_changed_is_not_sent(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    made = cloud()
    planned = made.plan_deploy(bundles["a"])
    file = bundles["a"].package.path / "MLmodel"
    text = file.read_text()
    file.write_text(text + "\n")
    try:
        with pytest.raises(PackageError, match="MLmodel: changed since the plan; deploy again"):
            apply(planned, made)
    finally:
        file.write_text(text)
    assert not aws.sagemaker._models


def test_a_plan_read_from_json_does_the_same(aws: AwsServer, bundles: dict[str, Bundle]) -> None:
    made = cloud()
    apply(plan_of(made.plan_deploy(bundles["a"]).to_json()), made)
    assert answer(made) == bundles["a"].golden.answer["answer"]


def test_a_long_name_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="keeps names of at most 25 characters whole"):
        replace(cloud(), endpoint="a" * 26).sign_in()
    replace(cloud(), endpoint="a" * 25).sign_in()


def test_it_needs_an_image() -> None:
    with pytest.raises(UsageError, match=r"needs sagemaker\.image"):
        connect(DeployConfig(sagemaker=SageMaker(region=REGION)), NAME)


def test_a_release_of_mlflow_that_names_otherwise_is_told(
    aws: AwsServer, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.sagemaker

    monkeypatch.setattr(mlflow.sagemaker, "_get_sagemaker_config_name", lambda name: f"{name}-own")
    with pytest.raises(CloudError, match=r"did not make the configuration .* Install mlflow"):
        deploy(bundles["a"])
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kms_key": "alias/ours"}, "sagemaker.kms_key;"),
        ({"serving": {"mode": "serverless"}}, 'sagemaker.serving.mode = "serverless";'),
        ({"scaling": {"max": 2}, "capture": {}}, "sagemaker.scaling, sagemaker.capture;"),
    ],
)
def test_what_mlflow_deployments_would_not_heed_is_refused(
    settings: dict[str, Any], said: str
) -> None:
    given = SageMaker.model_validate({"region": REGION, "image": IMAGE, **settings})
    with pytest.raises(UsageError, match=f"mlflow.deployments has nothing for {re.escape(said)}"):
        connect(DeployConfig(sagemaker=given), NAME)
