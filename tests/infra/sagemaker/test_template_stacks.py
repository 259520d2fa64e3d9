"""A template deployed to the strict fake: what it makes is what `deploy` makes, each leaves the
other's alone, and what fails is put back."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NameTaken, Refused
from onnxferry.infra.plan import Action, Plan
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy
from tests.infra.sagemaker.template_settings import SCALING, SETTINGS
from tests.infra.sagemaker.test_templates import PACKAGE

BUCKET, ROLE, STACK = (
    f"onnxferry-{ACCOUNT}-{REGION}",
    f"onnxferry-{NAME}-{REGION}",
    "onnxferry-squad",
)


def run(plan: Plan, made: SageMakerCloud) -> Plan:
    apply(plan, made)
    return plan


def foundation(**settings: Any) -> SageMakerCloud:
    made = cloud(**settings)
    run(made.plan_template(PACKAGE), made)
    return made


def whole(bundle: Bundle, **settings: Any) -> SageMakerCloud:
    made = cloud(**settings)
    run(made.plan_template_with(bundle), made)
    return made


def changes(plan: Plan) -> list[str]:
    return [f"{step.action.value} {step.resource}" for step in plan.changes]


def tags(found: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found}


def test_a_template_makes_bucket_and_role(aws: AwsServer) -> None:
    made = cloud()
    plan = made.plan_template(PACKAGE)
    assert changes(plan) == ["create stack", "create bucket", "create role"]
    assert (aws.keys, aws.roles, dict(aws.stacks)) == ({}, {}, {})  # a preview leaves nothing
    run(plan, made)
    assert (list(aws.keys), list(aws.roles)) == ([BUCKET], [ROLE])
    assert aws.stacks[STACK].state == "CREATE_COMPLETE"
    again = made.plan_template(PACKAGE)
    assert (again.changes, [s.action for s in again.steps]) == ((), [Action.REUSE])


def test_what_a_template_makes_is_what_deploy_makes(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    settings: dict[str, Any] = {"tags": {"team": "ml"}, "environment": {"LABEL": "${x}"}}
    deploy(bundles[0], **settings)
    by_deploy = requests(aws)
    aws.reset()
    whole(bundles[0], **settings)
    assert requests(aws) == by_deploy


def requests(aws: AwsServer) -> dict[str, Any]:
    """What there is, without names and tags, which differ."""
    (model,), (config,) = aws.sagemaker._models.values(), aws.sagemaker.endpoint_configs.values()
    (role,) = aws.roles.values()
    variants = [{**v, "ModelName": ""} for v in config.production_variants]
    bucket = aws.s3.buckets[BUCKET]
    return {
        "model": (model.primary_container, model.execution_role_arn, model.vpc_config),
        "isolation": model.enable_network_isolation,
        "variants": variants,
        "policies": [json.loads(text) for text in role.policies.values()],
        "trust": json.loads(role.assume_role_policy_document),
        "bucket": (vars(bucket.public_access_block), str(bucket.encryption), len(bucket.rules)),
        "endpoints": [(e.name, e.state) for e in aws.endpoints.values()],
        "keys": aws.keys,
    }


def test_after_the_template_deploy_makes_only_what_is_the_models(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = foundation()
    plan = made.plan_deploy(bundles[0])
    reused = {step.resource for step in plan.steps if step.action is Action.REUSE}
    assert reused == {"bucket", "role"}
    run(plan, made)
    assert list(aws.roles[ROLE].policies) == ["onnxferry"]  # the template's, untouched
    assert made.status().version == bundles[0].version


def test_the_whole_endpoint_in_one_command_and_an_update(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = cloud()
    plan = made.plan_template_with(bundles[0])
    assert changes(plan)[:4] == ["create stack", "create bucket", "create role", "create package"]
    assert {"create model", "create endpoint"} <= set(changes(plan))
    run(plan, made)
    assert made.invoke(QUESTION, 60).status == 200
    assert made.status().details["template"] == f"the CloudFormation stack {STACK}"
    assert made.status().version == bundles[0].version
    assert made.plan_template_with(bundles[0]).changes == ()
    run(made.plan_template_with(bundles[1]), made)
    assert made.status().version == bundles[1].version
    (config,) = aws.sagemaker.endpoint_configs
    assert aws.endpoints[NAME].config == config
    assert len(aws.sagemaker._models) == 1


def test_a_change_of_deploy_toml_is_shown_and_made(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    whole(bundles[0])
    made = cloud(instance_count=2)
    plan = made.plan_template_with(bundles[0])
    assert any("InitialInstanceCount: 1 -> 2" in note for note in plan.summary.notes)
    run(plan, made)
    assert aws.endpoints[NAME].count == 2


def test_bucket_and_role_alone_keep_the_package_that_the_stack_has(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = whole(bundles[0])
    plan = made.plan_template(PACKAGE)
    assert (plan.changes, plan.summary.notes) == ((), ())
    assert NAME in aws.endpoints


@pytest.mark.usefixtures("aws")
def test_deploy_leaves_a_templates_endpoint_alone_and_says_the_command(
    bundles: tuple[Bundle, ...],
) -> None:
    made = whole(bundles[0])
    by_deploy = functools.partial(made.plan_deploy, bundles[1])
    for act in (by_deploy, made.plan_rollback, made.plan_delete_unproved):
        with pytest.raises(Refused, match="onnxferry-squad has made it") as e:
            act()
        assert "--deploy --endpoint` puts any version live" in str(e.value)


@pytest.mark.usefixtures("aws")
def test_a_template_leaves_deploys_endpoint_alone(bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0])
    with pytest.raises(NameTaken, match="`onnxferry deploy` has made it"):
        made.plan_template_with(bundles[1])


def test_what_deploy_has_made_is_given_to_the_stack_and_stays(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    """The bucket is shared by all endpoints; the second stack uses the first one's."""
    foundation()
    other = cloud()
    other = SageMakerCloud(other.clients, other.settings, "other", other.clock, other.today)
    plan = run(other.plan_template(PACKAGE), other)
    assert changes(plan) == ["create stack", "create role"]
    assert aws.stacks["onnxferry-other"].values["Bucket"] == BUCKET


def test_delete_deletes_the_stack_and_all_else(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = whole(bundles[0])
    plan = run(made.plan_delete(), made)
    assert "delete stack" in changes(plan)
    assert (dict(aws.stacks), dict(aws.endpoints), aws.keys, aws.roles) == ({}, {}, {}, {})


def test_delete_after_a_template_and_deploy(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = foundation()
    run(made.plan_deploy(bundles[0]), made)
    run(made.plan_delete(), made)
    assert (dict(aws.stacks), dict(aws.endpoints), aws.keys, aws.roles) == ({}, {}, {}, {})


def test_a_package_that_fails_its_golden_request_is_taken_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = whole(bundles[0])
    before = dict(aws.stacks[STACK].values)
    with pytest.raises(CloudError, match="The earlier version serves again"):
        run(made.plan_template_with(wrong(bundles[1])), made)
    assert aws.stacks[STACK].values == before
    assert aws.endpoints[NAME].state == "InService"
    assert made.invoke(QUESTION, 60).status == 200


def test_a_first_package_that_fails_leaves_bucket_and_role(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = cloud()
    with pytest.raises(CloudError, match="Removed what was not proved"):
        run(made.plan_template_with(wrong(bundles[1])), made)
    assert (dict(aws.endpoints), list(aws.roles)) == ({}, [ROLE])
    assert aws.stacks[STACK].state == "UPDATE_COMPLETE"


def wrong(bundle: Bundle) -> Bundle:
    """With a golden answer that the model does not give."""
    return replace(bundle, golden=replace(bundle.golden, answer={"answer": "none"}))


def test_what_a_resource_says_is_said_and_the_rest_is_put_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["CreateModel"] = Refusal("ValidationException", "Could not find model data.")
    made = cloud()
    with pytest.raises(CloudError, match=r"Model \(AWS::SageMaker::Model\): Could not find model"):
        run(made.plan_template_with(bundles[0]), made)
    assert aws.stacks[STACK].state == "UPDATE_ROLLBACK_COMPLETE"
    del aws.refusals["CreateModel"]
    run(made.plan_template_with(bundles[0]), made)
    assert aws.endpoints[NAME].state == "InService"


def test_a_stack_that_was_never_made_is_made_anew(aws: AwsServer) -> None:
    aws.refusals["CreateRole"] = Refusal("LimitExceeded", "Cannot exceed quota for RolesPerAccount")
    made = cloud()
    with pytest.raises(CloudError, match="RolesPerAccount"):
        run(made.plan_template(PACKAGE), made)
    assert aws.stacks[STACK].state == "ROLLBACK_COMPLETE"
    del aws.refusals["CreateRole"]
    plan = made.plan_template(PACKAGE)
    assert changes(plan) == ["delete stack", "create stack"]
    run(plan, made)
    assert (aws.stacks[STACK].state, list(aws.roles)) == ("CREATE_COMPLETE", [ROLE])


def test_a_stack_at_work_is_waited_for(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    foundation()
    made = cloud()
    plan = made.plan_template_with(bundles[0])
    step = next(s for s in plan.steps if s.resource == "package")
    made.execute(step, print)
    step = next(s for s in plan.steps if s.operation == "deploy_stack")
    made.execute(step, print)  # and the run is cut off
    again = made.plan_template_with(bundles[0])
    assert "is known when it has ended" in again.summary.notes[0]
    run(again, made)
    assert made.plan_template_with(bundles[0]).changes == ()
    assert aws.endpoints[NAME].state == "InService"


def test_a_stack_of_others_is_theirs(aws: AwsServer) -> None:
    foundation()
    aws.stacks[STACK].tags.clear()
    with pytest.raises(NameTaken, match="stack onnxferry-squad: it exists"):
        cloud().plan_template(PACKAGE)


def test_a_stack_that_is_stuck_is_said_with_what_helps(aws: AwsServer) -> None:
    foundation()
    aws.stacks[STACK].state = "UPDATE_ROLLBACK_FAILED"
    with pytest.raises(Refused, match="continue-update-rollback --stack-name onnxferry-squad"):
        cloud().plan_template(PACKAGE)


SCALED: dict[str, Any] = {
    "asynchronous": {"serving": {"mode": "async"}, "scaling": {"min": 0, "max": 3, "target": 4.0}},
    "real time": {
        "serving": {"instance_count": 2},
        "scaling": {**SCALING, "min": 2},
        "rollout": {"traffic": "canary", "step_percent": 50, "wait_seconds": 60},
    },
    "serverless": SETTINGS["serverless"],
}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[pytest.mark.series] * (name != "asynchronous"))
        for name, settings in SCALED.items()
    ],
)
def test_an_endpoint_that_is_scaled_comes_is_updated_and_goes(
    aws: AwsServer, bundles: tuple[Bundle, ...], settings: dict[str, Any]
) -> None:
    made = whole(bundles[0], **settings)
    assert len(aws.endpoints.scaling) == 1
    assert made.plan_template_with(bundles[0]).changes == ()
    run(made.plan_template_with(bundles[1]), made)
    assert (made.status().state, made.status().version) == ("InService", bundles[1].version)
    run(made.plan_delete(), made)
    assert (dict(aws.stacks), dict(aws.endpoints), aws.keys) == ({}, {}, {})
    assert not aws.endpoints.scaling
