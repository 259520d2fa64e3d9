"""A registered model with its endpoint, as one: MLflow's own store in an SQLite file, and the fake
of AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.errors import CloudError, Refused, WrongAnswer
from onnxferry.infra.mlflow import connect
from onnxferry.infra.mlflow.endpoints.served import ServedRegistry
from onnxferry.infra.mlflow.names import CHAMPION
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.plan_text import plan_text
from onnxferry.infra.target_tables import MLflow, SageMaker
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import layout_of
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.fakes.aws import REGION, AwsServer, aws_server
from tests.fakes.aws.answers import Refusal
from tests.infra.mlflow.conftest import NAME, Answers, at
from tests.infra.mlflow_endpoints.conftest import bundles, kept_resources, mlflow_host
from tests.infra.mlflow_endpoints.test_sagemaker import IMAGE, cloud
from tests.infra.plan_json import plan_of
from tests.infra.quiet import QuietReport
from tests.infra.sagemaker.conftest import KeptSession, no_pauses

__all__ = ["bundles", "kept_resources"]

ASK = Request(json.dumps({"inputs": tiny.QUESTION}).encode())


@pytest.fixture(scope="module")
def account() -> Iterator[AwsServer]:
    with aws_server() as made, no_pauses():
        KeptSession.servers[made.url] = made
        yield made


@pytest.fixture
def aws(account: AwsServer, kept_resources: None) -> Iterator[AwsServer]:
    account.reset()
    account.hosts = mlflow_host
    with account.reachable():
        yield account
    assert account.violations == []


@pytest.fixture
def served(aws: AwsServer, server: MlflowServer, answers: Answers) -> ServedRegistry:
    return ServedRegistry(at(server, answers), cloud(), "sagemaker")


def deploy(served: ServedRegistry, bundle: Bundle) -> Plan:
    planned = served.plan_deploy(bundle)
    run(served, planned)
    return planned


def run(served: ServedRegistry, planned: Plan) -> None:
    apply(planned, served, QuietReport(), Terms())


def live(served: ServedRegistry) -> tuple[str, str, str]:
    """The version that the endpoint serves, that of the registry's champion, and the answer."""
    reply = served.invoke(ASK, 60)
    answer = json.loads(reply.body)["predictions"][0]["answer"]
    return served.endpoint.status().version, served.registry.status().version, answer


def expected(bundle: Bundle) -> tuple[str, str, str]:
    return bundle.version, bundle.version, bundle.golden.answer["answer"]


def order(planned: Plan) -> list[str]:
    return [step.operation for step in planned.steps if step.operation]


def test_one_plan_registers_serves_and_moves_the_alias(
    served: ServedRegistry, bundles: dict[str, Bundle]
) -> None:
    planned = served.plan_deploy(bundles["a"])
    operations = order(planned)
    assert operations.index("smoke") < operations.index("sagemaker.create_deployment")
    assert operations.index("sagemaker.await_endpoint") < operations.index("promote")
    assert operations.index("promote") < operations.index("sagemaker.smoke")
    text = plan_text(planned)
    assert "account 123456789012, region eu-west-1" in text
    assert f"Version {bundles['a'].version} will serve on 1 x ml.m5.large." in text
    run(served, plan_of(planned.to_json()))
    assert live(served) == expected(bundles["a"])
    assert served.plan_deploy(bundles["a"]).changes == ()
    registered = served.registry.server.model(NAME)
    assert registered
    assert registered.aliases[CHAMPION] == "1"


def test_an_update_and_a_roll_back_move_both(
    served: ServedRegistry, bundles: dict[str, Bundle]
) -> None:
    for name in "ab":
        deploy(served, bundles[name])
        assert live(served) == expected(bundles[name])
    status = served.status()
    assert (status.target, status.version, status.previous) == (
        "mlflow",
        bundles["b"].version,
        bundles["a"].version,
    )
    assert {"endpoint", "registered model", "version"} <= {kind for kind, _, _ in status.resources}
    run(served, served.plan_rollback())
    assert live(served) == expected(bundles["a"])


def test_a_roll_back_that_was_cut_off_is_gone_on_with(
    served: ServedRegistry, bundles: dict[str, Bundle]
) -> None:
    deploy(served, bundles["a"])
    for last in ("sagemaker.promote", "promote"):
        deploy(served, bundles["b"])
        planned = served.plan_rollback()
        for step in planned.steps[: order(planned).index(last) + 1]:
            served.execute(step, lambda text: None)
        run(served, served.plan_rollback())
        assert live(served) == expected(bundles["a"])


def test_a_refusal_leaves_both_as_they_were(
    served: ServedRegistry, aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    deploy(served, bundles["a"])
    aws.refusals["UpdateEndpoint"] = Refusal("ValidationException", "something is wrong")
    with pytest.raises(CloudError, match="something is wrong"):
        deploy(served, bundles["b"])
    aws.refusals.clear()
    assert live(served) == expected(bundles["a"])
    deploy(served, bundles["b"])
    assert live(served) == expected(bundles["b"])


def test_where_the_alias_does_not_move_the_endpoint_goes_back(
    served: ServedRegistry, bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(served, bundles["a"])
    real = served.registry.execute

    def execute(step: Step, progress: Any) -> None:
        if step.operation == "promote":
            raise CloudError("the registry does not answer")
        real(step, progress)

    monkeypatch.setattr(type(served.registry), "execute", lambda self, *given: execute(*given))
    with pytest.raises(CloudError, match="The earlier version serves again"):
        deploy(served, bundles["b"])
    assert live(served) == expected(bundles["a"])


def test_where_the_endpoint_answers_wrongly_in_the_end_the_alias_goes_back_too(
    served: ServedRegistry, aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    deploy(served, bundles["a"])
    (serving,) = aws.up.values()
    planned = served.plan_deploy(bundles["b"])
    at_promote = order(planned).index("promote")

    class Turned(ServedRegistry):
        def execute(self, step: Step, progress: Any) -> None:
            super().execute(step, progress)
            if step.operation == "promote":
                aws.up = dict.fromkeys(aws.up, serving)

    turned = Turned(served.registry, served.endpoint, served.platform)
    with pytest.raises(WrongAnswer, match="The earlier version serves again"):
        run(turned, planned)
    assert at_promote
    assert live(served) == expected(bundles["a"])


def test_an_endpoint_is_added_to_what_is_registered(
    served: ServedRegistry, bundles: dict[str, Bundle]
) -> None:
    alone = served.registry
    apply(alone.plan_deploy(bundles["a"]), alone, QuietReport())
    planned = deploy(served, bundles["a"])
    assert "promote" not in order(planned)
    assert live(served) == expected(bundles["a"])


def test_versions_that_differ_are_not_rolled_back(
    served: ServedRegistry, bundles: dict[str, Bundle]
) -> None:
    deploy(served, bundles["a"])
    alone = served.registry
    apply(alone.plan_deploy(bundles["c"]), alone, QuietReport())
    deploy(served, bundles["b"])
    assert "version of champion" not in served.status().details
    with pytest.raises(Refused, match="Deploy the model directory of the one that shall serve"):
        served.plan_rollback()


def test_deleting_leaves_nothing(
    served: ServedRegistry, aws: AwsServer, server: MlflowServer, bundles: dict[str, Bundle]
) -> None:
    deploy(served, bundles["a"])
    planned = served.plan_delete()
    assert planned.steps[-1].operation == "sagemaker.delete_bucket"  # with the lease in it
    run(served, planned)
    assert (dict(aws.endpoints), aws.keys, server.model(NAME)) == ({}, {}, None)
    assert served.status().state == "absent"
    assert not served.plan_delete().changes


def test_the_configuration_names_the_endpoint(tmp_path: Path) -> None:
    there = {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    sagemaker = SageMaker(region=REGION, image=IMAGE)
    alone = connect(DeployConfig(mlflow=MLflow(**there), sagemaker=sagemaker), NAME)
    assert not isinstance(alone, ServedRegistry)
    onward = MLflow(**there, deploy_to="sagemaker")
    served = connect(DeployConfig(mlflow=onward, sagemaker=sagemaker), NAME)
    assert isinstance(served, ServedRegistry)
    with pytest.raises(UsageError, match=r"needs sagemaker\.image"):
        connect(DeployConfig(mlflow=onward), NAME)
    azure = MLflow(**there, deploy_to="azureml")
    with pytest.raises(UsageError, match=r"needs the table \[azureml\]"):
        connect(DeployConfig(mlflow=azure), NAME)
    assert layout_of("mlflow", azure.package_image) != layout_of("mlflow", onward.package_image)
