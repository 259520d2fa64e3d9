"""Models, configurations and endpoints: only those with our mark are touched, none that anything
else uses, and none that somebody else has changed since the plan was made; and their tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, Refused
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Endpoint
from tests.infra.sagemaker.conftest import NAME, NOW, cloud, deploy

CANDIDATE = f"{NAME}-candidate"
KINDS = ("endpoint", "endpoint-config", "model")


def sagemaker() -> Any:
    """A client of somebody else."""
    return boto3.client("sagemaker", region_name=REGION)


def config(name: str, model: str) -> str:
    """A configuration of somebody else."""
    variant = {"VariantName": "a", "ModelName": model, "InstanceType": "ml.m5.large"}
    variants = [{**variant, "InitialInstanceCount": 1, "InitialVariantWeight": 1.0}]
    sagemaker().create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    return name


def models(aws: AwsServer, bundle: Bundle) -> set[str]:
    return {name for name in aws.sagemaker._models if bundle.version in name}


def packages(aws: AwsServer) -> set[str]:
    """Versions of the packages that are there."""
    keys = (key for keys in aws.keys.values() for key in keys)
    return {key.split("/")[-2][:12] for key in keys if key.endswith("model.tar.gz")}


def test_what_others_use_stays(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    (ours,), first = models(aws, bundles[0]), aws.endpoints[NAME].config
    config("theirs", ours)
    sagemaker().create_endpoint(EndpointName="other", EndpointConfigName=first)
    for each in bundles[1:]:
        deploy(each)
    assert ours in aws.sagemaker._models
    assert first in aws.sagemaker.endpoint_configs
    assert bundles[0].version in packages(aws)
    made = cloud()
    plan = made.plan_delete()
    assert f"{ours} stays: endpoint configuration theirs uses it." in plan.summary.notes
    assert f"{first} stays: endpoint other uses it." in plan.summary.notes
    apply(plan, made)
    assert (set(aws.sagemaker._models), packages(aws)) == ({ours}, {bundles[0].version})
    assert set(aws.sagemaker.endpoint_configs) == {"theirs", first}
    assert list(aws.roles) == [made.names.role]


def test_what_uses_a_version_and_may_not_be_asked_keeps_it(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["ListEndpoints"] = Refusal("AccessDeniedException", "no", 403)
    for each in bundles:
        made = deploy(each)
    assert {made.names.version_of(c) for c in aws.sagemaker.endpoint_configs} == {
        each.version for each in bundles
    }
    said = (
        "older versions are kept: what uses them is not known: sagemaker:ListEndpoints is missing"
    )
    assert said in made.plan_deploy(bundles[2]).summary.notes


def test_what_has_our_name_and_not_our_mark_stays(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    for each in bundles[:2]:
        deploy(each)
    (theirs,) = models(aws, bundles[0])
    names = [c for c in aws.sagemaker.endpoint_configs if bundles[0].version in c]
    aws.sagemaker._models[theirs].tags = []
    aws.sagemaker.endpoint_configs[names[0]].tags = [{"Key": "onnxferry:endpoint", "Value": "x"}]
    made = deploy(bundles[2])
    apply(made.plan_delete(), made)
    assert (set(aws.sagemaker._models), list(aws.sagemaker.endpoint_configs)) == ({theirs}, names)
    assert packages(aws) == {bundles[0].version}


@pytest.mark.parametrize("kind", ["model", "configuration"])
def test_the_name_that_we_need_may_be_anothers(
    aws: AwsServer, bundles: tuple[Bundle, ...], kind: str
) -> None:
    made = cloud()
    plan = made.plan_deploy(bundles[0])
    wanted = {step.operation: step for step in plan.steps}
    for operation in ("make_bucket", "put_package", "make_role", "create_model"):
        made.execute(wanted[operation], lambda text: None)
    model = wanted["create_model"].name
    if kind == "model":
        aws.sagemaker._models[model].tags = []
    else:
        config(wanted["create_config"].name, model)
    with pytest.raises(NameTaken, match=r"squad-\w+-\w+: it exists, and onnxferry did not make it"):
        apply(plan, made)
    assert model in aws.sagemaker._models
    assert (wanted["create_config"].name in aws.sagemaker.endpoint_configs) is (kind != "model")


def interrupted(plan: Plan, made: SageMakerCloud, at: str, by: Any) -> None:
    """Apply `plan`; before the first step of operation `at`, `by` happens."""
    step = next(step for step in plan.steps if step.operation == at)
    for each in plan.steps[: plan.steps.index(step)]:
        if each.operation:
            made.execute(each, lambda text: None)
    by()
    apply(Plan(plan.target, plan.purpose, plan.name, (step,)), made)


def elsewhere(aws: AwsServer, model: str) -> str:
    """Somebody points the endpoint to a configuration of their own."""
    sagemaker().update_endpoint(EndpointName=NAME, EndpointConfigName=config("hotfix", model))
    aws.endpoints.finish()
    return "hotfix"


@pytest.mark.parametrize("at", ["promote", "record_history"])
def test_what_somebody_else_put_live_meanwhile_is_left_and_named(
    aws: AwsServer, bundles: tuple[Bundle, ...], at: str
) -> None:
    deploy(bundles[0])
    (model,), made = models(aws, bundles[0]), cloud()
    tags = dict(aws.endpoints[NAME].tags)
    with pytest.raises(
        Refused, match=r"somebody else has changed it: hotfix is there now, and squ"
    ):
        interrupted(made.plan_deploy(bundles[1]), made, at, lambda: elsewhere(aws, model))
    assert aws.endpoints[NAME].config == "hotfix"
    assert aws.endpoints[NAME].tags == tags


def test_what_was_put_live_meanwhile_is_not_deleted(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    (model,) = models(aws, bundles[0])
    plan = made.plan_delete()
    elsewhere(aws, model)
    with pytest.raises(Refused, match="hotfix is there now"):
        apply(plan, made)
    assert aws.endpoints[NAME].serving


def test_what_failed_is_not_put_back_over_what_somebody_else_put_live(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    (model,), made = models(aws, bundles[0]), cloud()
    plan = made.plan_deploy(bundles[1])
    restore = next(step.restore for step in plan.steps if step.operation == "promote")
    assert restore is not None
    elsewhere(aws, model)
    with pytest.raises(Refused, match="hotfix is there now"):
        made.execute(restore, lambda text: None)
    assert aws.endpoints[NAME].config == "hotfix"


def test_anothers_candidate_is_left(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    for each in bundles[:2]:
        deploy(each)
    first, made = aws.endpoints[NAME].tags["onnxferry:previous"].split()[1], cloud()
    mark = [{"Key": "onnxferry:endpoint", "Value": NAME}]

    def other() -> None:
        sagemaker().create_endpoint(EndpointName=CANDIDATE, EndpointConfigName=first, Tags=mark)

    with pytest.raises(Refused, match=f"endpoint {CANDIDATE}: somebody else has changed it"):
        interrupted(made.plan_deploy(bundles[2]), made, "create_endpoint", other)
    assert aws.endpoints[CANDIDATE].config == first


@pytest.mark.parametrize("at", ["delete_config", "delete_model"])
def test_what_is_used_since_the_plan_is_not_deleted(
    aws: AwsServer, bundles: tuple[Bundle, ...], at: str
) -> None:
    for each in bundles[:2]:
        deploy(each)
    (model,), made = models(aws, bundles[0]), cloud()
    first = aws.endpoints[NAME].tags["onnxferry:previous"].split()[1]

    def used() -> None:
        if at == "delete_model":
            config("theirs", model)
        else:
            sagemaker().create_endpoint(EndpointName="other", EndpointConfigName=first)

    with pytest.raises(Refused, match=r"(endpoint other|configuration theirs) uses it now"):
        interrupted(made.plan_deploy(bundles[2]), made, at, used)
    assert model in aws.sagemaker._models


def test_an_endpoint_whose_configuration_is_gone_says_what_to_do(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    sagemaker().delete_endpoint_config(EndpointConfigName=aws.endpoints[NAME].config)
    with pytest.raises(Exception, match=r"has been deleted, so that SageMaker changes it no more"):
        cloud().plan_deploy(bundles[1])
    assert aws.endpoints[NAME].serving


def tags(aws: AwsServer) -> list[dict[str, str]]:
    """Of the endpoint, its configuration and its model."""
    live = aws.endpoints[NAME]
    variant = aws.sagemaker.endpoint_configs[live.config].production_variants[0]
    model = aws.sagemaker._models[variant["ModelName"]]
    others = (aws.sagemaker.endpoint_configs[live.config].tags, model.tags)
    return [live.tags, *({tag["Key"]: tag["Value"] for tag in each} for each in others)]


def without_ours(found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in found.items() if not key.startswith("onnxferry:")}


def test_everything_says_whose_it_is_which_version_and_since_when(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    for each in bundles[:2]:
        deploy(each)
    for found in tags(aws):
        assert found["onnxferry:endpoint"] == NAME
        assert found["onnxferry:version"] == bundles[1].version
        assert found["onnxferry:deployed"] == NOW.isoformat()


def test_changed_tags_are_an_update_and_others_tags_stay(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], tags={"team": "ml", "cost centre": "1", "stage": "test"})
    theirs = {"owner": "them", "team2": "x"}
    for arn in (aws.endpoints[NAME].arn,):
        given = [{"Key": key, "Value": value} for key, value in theirs.items()]
        sagemaker().add_tags(ResourceArn=arn, Tags=given)
    wanted = {"team": "search", "stage": "test", "new": "yes"}
    made = cloud(tags=wanted)
    plan = made.plan_deploy(bundles[0])
    changed: list[Step] = list(plan.changes)
    assert [step.resource for step in changed] == [
        "tags of alarm",
        "tags of endpoint",
        "tags of model",
        "tags of endpoint configuration",
    ]
    assert aws.endpoints[NAME].count == 1
    apply(plan, made)
    endpoint, *others = map(without_ours, tags(aws))
    assert endpoint == {**wanted, **theirs}
    assert others == [wanted, wanted]
    (alarm,) = aws.alarms.names
    assert without_ours(aws.alarms.tags(alarm)) == wanted
    assert made.plan_deploy(bundles[0]).changes == ()
    made = deploy(bundles[0])
    assert [without_ours(each) for each in tags(aws)] == [theirs, {}, {}]
    assert cloud().plan_deploy(bundles[0]).changes == ()


def test_the_most_tags_that_a_user_may_give_are_known_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    most = {f"key {i} " + "x" * 100: "v" for i in range(40)}
    deploy(bundles[0], tags=most)
    deploy(bundles[0])
    assert without_ours(aws.endpoints[NAME].tags) == {}


def test_all_that_was_ever_made_is_listed(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], instance_count=2)
    aws.endpoints["other"] = Endpoint("other", "arn:aws:sagemaker:::endpoint/other", "c")
    aws.s3.put_object(made.names.bucket, "theirs/model.tar.gz", b"x")
    found = made.listed()
    by_kind = {one.kind: one for one in found}
    assert len(by_kind) == len(found)
    hosted = {"endpoint", "endpoint configuration", "model", "alarm"}
    assert set(by_kind) == {*hosted, "role", "bucket", "package"}
    assert by_kind["package"].version == bundles[0].version
    endpoint = by_kind["endpoint"]
    assert (endpoint.name, endpoint.version, endpoint.state, endpoint.place) == (
        NAME,
        bundles[0].version,
        "InService",
        REGION,
    )
    assert (endpoint.deployed, endpoint.instance_hours) == (NOW.isoformat(), 48)
    assert {one.endpoint for one in found} == {NAME, ""}
    aws.s3.delete_object(made.names.bucket, "theirs/model.tar.gz")
    apply(made.plan_delete(), made)
    assert made.listed() == []
