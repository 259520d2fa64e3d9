"""Deploy, deploy again, update, roll back, delete, ask: azure-ai-ml against the fake, asserted on
the fake's state."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle, HasLogFeed, OnlineEndpoint
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.plan import Action
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.assets import SAS, WORKSPACES
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, ENDPOINTS, MachineLearning
from tests.fakes.azure.providers.online_scoring import KEY
from tests.infra.azureml.conftest import NAME, connected, deploy

ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


def answer(cloud: OnlineEndpoint) -> Any:
    reply = cloud.invoke(ASK, 10)
    assert reply.status == 200
    return json.loads(reply.body)["answer"]


def endpoint(azure: AzureFake) -> dict[str, Any]:
    (found,) = azure.store.all(ENDPOINTS)
    return found


def names(azure: AzureFake, type_: str) -> list[str]:
    return [found["name"] for found in azure.store.all(type_)]


def rollback(cloud: OnlineEndpoint) -> None:
    apply(cloud.plan_rollback(), cloud)


def delete(cloud: OnlineEndpoint) -> None:
    apply(cloud.plan_delete(), cloud)


def test_a_first_deployment_answers(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    plan = deploy(cloud, versions["a"])
    (served,) = ml.history
    (name,) = served.traffic
    assert served.traffic == {name: 100}
    assert name in served.proved
    assert answer(cloud) == versions["a"].golden.answer["answer"]
    status = cloud.status()
    assert (status.state, status.version, status.previous) == (
        "Succeeded",
        versions["a"].version,
        "",
    )
    assert status.url == f"https://squad.inference.ml.localhost:{azure.port}/score"
    assert {kind for kind, _, _ in status.resources} == {
        "endpoint",
        "deployment",
        "model",
        "environment",
        "code",
        "files",
    }
    for secret in (KEY, SAS):
        assert secret not in plan.to_json() + repr(status) + repr(cloud)


def test_it_is_as_the_package_and_the_configuration_say(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(
        connected(
            serving={"instance_type": "Standard_DS3_v2", "instance_count": 3},
            tags={"team": "search"},
        ),
        versions["a"],
    )
    (made,) = azure.store.all(DEPLOYMENTS)
    facts = made["properties"]
    assert (facts["instanceType"], made["sku"]["capacity"]) == ("Standard_DS3_v2", 3)
    assert facts["requestSettings"] == {
        "requestTimeout": "PT1M30S",
        "maxConcurrentRequestsPerInstance": 8,
    }
    assert facts["livenessProbe"]["initialDelay"] == "PT30S"
    assert facts["environmentVariables"] == {
        "WORKER_COUNT": "1",
        "GUNICORN_CMD_ARGS": "--threads=8",
    }
    assert made["tags"]["team"] == "search"
    assert made["tags"]["onnxferry-version"] == versions["a"].version
    (environment,) = azure.store.all(f"{WORKSPACES}/environments/versions")
    assert "azureml-inference-server-http" in environment["properties"]["condaFile"]
    files = azure.blobs.names("wsstore", "azureml-blobstore")
    assert {name.rpartition("/")[2] for name in files} >= {
        "model.onnx",
        "model_spec.json",
        "score.py",
        "scorer.py",
    }


def test_a_second_deployment_has_nothing_to_do(
    cloud: OnlineEndpoint, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    plan = cloud.plan_deploy(versions["a"])
    assert not plan.changes
    assert {step.action for step in plan.steps} == {Action.REUSE, Action.CHECK}
    apply(plan, cloud)


def test_planning_changes_nothing(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    azure.restart_counting()
    cloud.plan_deploy(versions["a"])
    assert not [c for c in azure.calls if c.method in ("PUT", "PATCH", "DELETE")]


def test_an_update_keeps_the_old_version_and_the_next_one_prunes_it(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "abc":
        deploy(cloud, versions[name])
        assert answer(cloud) == versions[name].golden.answer["answer"]
    status = cloud.status()
    assert (status.version, status.previous) == (versions["c"].version, versions["b"].version)
    assert len(names(azure, DEPLOYMENTS)) == 2
    assert not any(versions["a"].version in name for name in names(azure, DEPLOYMENTS))
    assert all(set(served.traffic) <= served.proved for served in ml.history)
    assert [len(served.traffic) for served in ml.history] == [1, 1, 1]  # never empty


def test_an_update_reuses_what_did_not_change(
    cloud: OnlineEndpoint, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    steps = {
        str(s).rpartition(":")[0] for s in cloud.plan_deploy(versions["b"]).steps if ":" in s.name
    }
    assert {"create model squad", "reuse code squad", "reuse environment squad"} <= steps


def test_another_instance_type_is_another_deployment(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    deploy(connected(serving={"instance_type": "Standard_F4s_v2"}), versions["a"])
    assert len(names(azure, DEPLOYMENTS)) == 2
    assert answer(cloud) == versions["a"].golden.answer["answer"]


def environment(azure: AzureFake) -> dict[str, str]:
    """Of the deployment that takes the traffic."""
    (serving,) = endpoint(azure)["properties"]["traffic"]
    (found,) = (one for one in azure.store.all(DEPLOYMENTS) if one["name"] == serving)
    variables: dict[str, str] = found["properties"]["environmentVariables"]
    return variables


def test_the_environment_is_set_changed_and_taken_away(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    packed = {"WORKER_COUNT": "1", "GUNICORN_CMD_ARGS": "--threads=8"}
    for wanted in ({"ONNXFERRY_ENGINE_THREADS": "2"}, {"WORKER_COUNT": "2", "TEAM": "ml"}, {}):
        cloud = connected(environment=wanted)
        plan = deploy(cloud, versions["a"])
        assert all(f'"{name}": "{value}"' in plan.to_json() for name, value in wanted.items())
        assert environment(azure) == {**packed, **wanted}
        assert not cloud.plan_deploy(versions["a"]).changes


def test_a_roll_back_brings_the_environment_of_before(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for threads in ("2", "4"):
        deploy(connected(environment={"ONNXFERRY_ENGINE_THREADS": threads}), versions["a"])
    rollback(connected())
    assert environment(azure)["ONNXFERRY_ENGINE_THREADS"] == "2"


def test_what_others_set_on_the_endpoint_stays(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    found = endpoint(azure)
    found["tags"]["cost-centre"] = "42"
    found["properties"] |= {
        "description": "theirs",
        "mirrorTraffic": {names(azure, DEPLOYMENTS)[0]: 10},
    }
    deploy(cloud, versions["b"])
    found = endpoint(azure)
    assert found["tags"]["cost-centre"] == "42"
    assert found["properties"]["description"] == "theirs"
    assert found["properties"]["mirrorTraffic"] == {names(azure, DEPLOYMENTS)[0]: 10}


def test_rolls_back_and_forth(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    rollback(connected())  # from another machine
    assert answer(cloud) == versions["a"].golden.answer["answer"]
    status = cloud.status()
    assert (status.version, status.previous) == (versions["a"].version, versions["b"].version)
    rollback(cloud)
    assert answer(cloud) == versions["b"].golden.answer["answer"]
    assert all(set(served.traffic) <= served.proved for served in ml.history)


def test_deploying_the_previous_version_again_moves_the_traffic(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(cloud, versions[name])
    changes = [str(step) for step in deploy(cloud, versions["a"]).changes]
    assert changes == ["update traffic of endpoint squad", "update tags of endpoint squad"]
    assert cloud.status().previous == versions["b"].version


def test_nothing_to_roll_back_to(cloud: OnlineEndpoint, versions: dict[str, Bundle]) -> None:
    for _ in range(2):
        with pytest.raises(NotFound, match="no previous version"):
            cloud.plan_rollback()
        deploy(cloud, versions["a"])


def test_deletes_all_that_it_made_and_nothing_else(
    cloud: OnlineEndpoint, ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    workspace = ml.workspace()
    theirs = f"{workspace}/models/squad/versions/1"
    azure.store.put(
        theirs,
        {"properties": {"modelUri": "azureml://x", "tags": {}, "flavors": {}, "properties": {}}},
    )
    service = azure.blobs.accounts["wsstore"]["azureml-blobstore"]
    for name in "ab":
        deploy(cloud, versions[name])
    service["theirs/file"] = next(iter(service.values()))
    listed = cloud.plan_delete()
    apply(listed, cloud)
    kinds = [step.resource for step in listed.steps]
    assert kinds == ["endpoint", "model", "model", "environment", "code", "files"]
    for type_ in (
        ENDPOINTS,
        DEPLOYMENTS,
        *(f"{WORKSPACES}/{k}/versions" for k in ("codes", "environments")),
    ):
        assert names(azure, type_) == []
    assert names(azure, f"{WORKSPACES}/models/versions") == ["1"]
    assert azure.blobs.names("wsstore", "azureml-blobstore") == ["theirs/file"]
    assert cloud.status().state == "absent"
    assert not cloud.plan_delete().steps


def test_deletes_what_is_half_made(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    plan = cloud.plan_deploy(versions["a"])
    for step in plan.steps[:5]:
        cloud.execute(step, lambda text: None)
    assert cloud.status().state == "half-made"
    assert [step.resource for step in cloud.plan_delete().steps] == [
        "model",
        "environment",
        "code",
        "files",
    ]
    delete(cloud)
    assert cloud.status().state == "absent"
    assert azure.blobs.names("wsstore", "azureml-blobstore") == []


def test_traffic_of_others_is_not_moved(
    cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    next(iter(azure.store.all(DEPLOYMENTS)))["tags"].pop("onnxferry")
    with pytest.raises(Refused, match="takes 100 % of its traffic, and onnxferry did not make it"):
        cloud.plan_deploy(versions["b"])


def test_the_way_clients_sign_in_is_not_changed(
    cloud: OnlineEndpoint, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    with pytest.raises(Refused, match="its auth_mode is key, and aad_token is asked for"):
        connected(auth_mode="aad_token").plan_deploy(versions["b"])


@pytest.mark.parametrize("auth_mode", ["aml_token", "aad_token"])
def test_invokes_with_tokens(
    ml: MachineLearning, versions: dict[str, Bundle], auth_mode: str
) -> None:
    cloud = connected(auth_mode=auth_mode)
    deploy(cloud, versions["a"])
    assert answer(cloud) == versions["a"].golden.answer["answer"]
    assert not cloud.plan_deploy(versions["a"]).changes


def test_a_refusal_is_a_reply_with_the_containers_status(
    cloud: OnlineEndpoint, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    reply = cloud.invoke(Request(b"not JSON"), 10)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"]
    assert reply.served_by.startswith(f"v{versions['a'].version}")
    assert cloud.invoke(Request(b"x", "image/png"), 10).status == 415


def test_shows_the_serving_deployments_log(
    cloud: OnlineEndpoint, ml: MachineLearning, versions: dict[str, Bundle]
) -> None:
    with pytest.raises(NotFound, match="no deployment takes traffic"):
        cloud.logs(10)
    deploy(cloud, versions["a"])
    ml.container_logs["InferenceServer"] = "one\ntwo\nthree"
    assert cloud.logs(2) == "two\nthree"
    assert isinstance(cloud, HasLogFeed)
    feed = cloud.log_feed(1, None)
    assert feed() == ["three"]
    ml.container_logs["InferenceServer"] += "\nfour\nfive"
    assert feed() == ["four", "five"]
    with pytest.raises(UsageError, match="--since: AzureML keeps no times"):
        cloud.log_feed(1, datetime.now(timezone.utc))


def test_no_endpoint_to_invoke(cloud: OnlineEndpoint) -> None:
    with pytest.raises(
        NotFound, match=f"endpoint {NAME}: workspace work of resource group rg has none"
    ):
        cloud.invoke(ASK, 10)
