"""Canary, linear and all at once: what SageMaker is asked for, alarms that take an update back in
the middle, and what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from pydantic import ValidationError

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NameTaken, NotFound, NotHealthy, QuotaExceeded
from onnxferry.infra.errors import Refused as Blocked
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.plan import Action, Plan
from onnxferry.infra.sagemaker import alarms, blue_green
from onnxferry.infra.sagemaker.alarms import Watched
from onnxferry.infra.sagemaker.role_policy import role_policy
from onnxferry.infra.target_tables.rollout import SageMakerRollout
from onnxferry.scripts.rehearse.record import FILE
from onnxferry.system.errors import UsageError
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.alarms import CROSSED
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Trouble
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy, settings_of
from tests.infra.sagemaker.test_flow import TRUST

Bundles = tuple[Bundle, ...]
CANARY = {"traffic": "canary", "step_percent": 25}
LINEAR = {"traffic": "linear", "step_percent": 30}
RECORD = {
    "python": "3.12",
    "runtime": "x",
    "start_seconds": 1.0,
    "latency_p50_ms": 4.0,
    "cpu_ms": 3.0,
    "memory_mib": 100.0,
    "cpus": 2,
    "machine": "x",
}


def two(bundle: Bundle, **rollout: Any) -> Any:
    """Deploy to two instances."""
    return deploy(bundle, instance_count=2, rollout=rollout)


def planned(bundle: Bundle, **rollout: Any) -> Plan:
    return cloud(instance_count=2, rollout=rollout).plan_deploy(bundle)


def update_of(plan: Plan) -> Any:
    (found,) = [step.parameters["update"] for step in plan.steps if step.operation == "promote"]
    return found


def errors_of(bundle: Bundle, aws: AwsServer) -> str:
    """The alarm on errors of a version's configuration."""
    return next(n for n in aws.alarms.names if bundle.version in n and "-errors-" in n)


def cloudwatch() -> Any:
    return boto3.client("cloudwatch", region_name=REGION)


@pytest.fixture
def rehearsed(bundles: Bundles) -> Any:
    """Says which p95 the last rehearsal of a version measured."""
    written = []

    def write(bundle: Bundle, p95: float, sha256: str = "") -> None:
        file = bundle.package.path.parent / FILE
        found = {**RECORD, "sha256": sha256 or bundle.package.sha256, "latency_p95_ms": p95}
        file.write_text(json.dumps(found))
        written.append(file)

    yield write
    for file in written:
        file.unlink(missing_ok=True)


Rehearsed = Callable[..., None]


@pytest.mark.parametrize(
    ("rollout", "routing", "last"),
    [
        ({}, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, 300),
        pytest.param(
            {"termination_wait_seconds": 0},
            {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            0,
            marks=pytest.mark.series,
        ),
        ({"alarms": False}, {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, 0),
        (
            {**CANARY, "wait_seconds": 600, "termination_wait_seconds": 120},
            {
                "Type": "CANARY",
                "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25},
                "WaitIntervalInSeconds": 600,
            },
            120,
        ),
        (
            LINEAR,
            {
                "Type": "LINEAR",
                "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 30},
                "WaitIntervalInSeconds": 300,
            },
            300,
        ),
    ],
    ids=["all at once", "not watched", "without alarms", "canary", "linear"],
)
def test_the_update_is_as_the_table_says(
    aws: AwsServer, bundles: Bundles, rollout: dict[str, Any], routing: Any, last: int
) -> None:
    two(bundles[0], **rollout)
    plan = planned(bundles[1], **rollout)
    asked = update_of(plan)["DeploymentConfig"]
    policy = asked["BlueGreenUpdatePolicy"]
    assert (policy["TrafficRoutingConfiguration"], policy["TerminationWaitInSeconds"]) == (
        routing,
        last,
    )
    waits = blue_green.waits(asked)
    assert policy.get("MaximumExecutionTimeoutInSeconds", math.inf) > waits
    assert plan.summary.minutes == (10 + math.ceil(waits / 60), 25 + math.ceil(waits / 60))
    watched = blue_green.watched(asked)
    assert len(watched) == (0 if rollout.get("alarms") is False else 1)
    made = cloud(instance_count=2, rollout=rollout)
    apply(plan, made)
    assert made.status().version == bundles[1].version
    assert aws.endpoints[NAME].deployment == asked


def test_a_roll_back_waits_for_nothing(aws: AwsServer, bundles: Bundles) -> None:
    two(bundles[0], **CANARY)
    made = two(bundles[1], **CANARY)
    plan = made.plan_rollback()
    assert update_of(plan)["DeploymentConfig"] == blue_green.at_once()
    assert plan.summary.minutes == (5, 15)
    apply(plan, made)
    assert made.status().version == bundles[0].version


def test_alarms_watch_one_version_and_go_with_it(
    aws: AwsServer, bundles: Bundles, rehearsed: Rehearsed
) -> None:
    rehearsed(bundles[0], 12.5)
    made = deploy(bundles[0], tags={"team": "ml"}, rollout={"latency_factor": 4})
    found = {a["AlarmName"]: a for a in cloudwatch().describe_alarms()["MetricAlarms"]}
    errors, latency = (found[name] for name in sorted(found))
    config = aws.endpoints[NAME].config
    assert errors["AlarmName"] == f"onnxferry-{config}-errors-AllTraffic"
    of = {d["Name"]: d["Value"] for d in errors["Dimensions"]}
    assert of == {"EndpointName": NAME, "VariantName": "AllTraffic", "EndpointConfigName": config}
    assert (errors["MetricName"], errors["Threshold"]) == ("Invocation5XXErrors", 0.05)
    assert (latency["MetricName"], latency["ExtendedStatistic"], latency["Threshold"]) == (
        "ModelLatency",
        "p95",
        50_000,
    )
    assert {a["TreatMissingData"] for a in found.values()} == {"notBreaching"}
    assert aws.alarms.tags(latency["AlarmName"])["team"] == "ml"
    shown = [r for r in made.status().resources if r[0] == "alarm"]
    assert [state for _, _, state in shown] == ["INSUFFICIENT_DATA"] * 2
    assert {one.name for one in made.listed() if one.kind == "alarm"} == set(found)
    deploy(bundles[1])
    made = deploy(bundles[2])
    assert [b.version in " ".join(aws.alarms.names) for b in bundles] == [False, True, True]
    apply(made.plan_delete(), made)
    assert aws.alarms.names == []


def test_a_rehearsal_measured_again_changes_no_alarm_and_another_factor_does(
    aws: AwsServer, bundles: Bundles, rehearsed: Rehearsed
) -> None:
    rehearsed(bundles[0], 10.0)
    deploy(bundles[0])
    rehearsed(bundles[0], 11.0)
    assert cloud().plan_deploy(bundles[0]).changes == ()
    made = cloud(rollout={"latency_factor": 2})
    plan = made.plan_deploy(bundles[0])
    (step,) = plan.changes
    assert (step.action, step.resource) == (Action.UPDATE, "alarm")
    (latency,) = [name for name in aws.alarms.names if "-latency-" in name]
    aws.alarms.to(latency, "OK", "quiet")
    topic = f"arn:aws:sns:{REGION}:123456789012:mine"
    aws.alarms._backend.alarms[latency].alarm_actions = [topic]
    made = cloud(rollout={"latency_factor": 2})
    apply(made.plan_deploy(bundles[0]), made)
    (found,) = cloudwatch().describe_alarms(AlarmNames=[latency])["MetricAlarms"]
    assert (found["Threshold"], found["StateValue"]) == (20_000, "OK")
    assert found["AlarmActions"] == [topic]
    assert made.plan_deploy(bundles[0]).changes == ()


def test_without_a_rehearsal_of_this_package_the_plan_says_what_is_not_watched(
    aws: AwsServer, bundles: Bundles, rehearsed: Rehearsed
) -> None:
    rehearsed(bundles[0], 10.0, sha256="0" * 64)
    plan = cloud().plan_deploy(bundles[0])
    assert "No alarm watches the latency" in " ".join(plan.summary.notes)
    rehearsed(bundles[0], 10.0)
    assert "No alarm watches" not in " ".join(cloud().plan_deploy(bundles[0]).summary.notes)


def test_alarms_that_are_switched_off_go(aws: AwsServer, bundles: Bundles) -> None:
    deploy(bundles[0])
    made = cloud(rollout={"alarms": False})
    plan = made.plan_deploy(bundles[0])
    assert {step.resource for step in plan.changes} == {"role", "alarm"}
    apply(plan, made)
    assert aws.alarms.names == []
    assert made.plan_deploy(bundles[0]).changes == ()


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        pytest.param(1, "", marks=pytest.mark.series),
        (2, ""),
        pytest.param(1, "An alarm was in ALARM.", marks=pytest.mark.series),
        pytest.param(2, "An alarm was in ALARM.", marks=pytest.mark.series),
    ],
)
def test_an_alarm_that_fires_in_the_middle_takes_the_update_back_and_is_named(
    aws: AwsServer, bundles: Bundles, stage: int, reason: str
) -> None:
    two(bundles[0], **CANARY)
    before = aws.endpoints[NAME].config
    aws.blue_green.reason = reason
    aws.blue_green.at = {
        stage: lambda: aws.alarms.fire(errors_of(bundles[1], aws)),
        stage + 1: lambda: pytest.fail("the update went on"),
    }
    with pytest.raises(NotHealthy) as caught:
        two(bundles[1], **CANARY)
    text = str(caught.value)
    assert "SageMaker has put the earlier configuration back" in text
    assert f"errors-AllTraffic fired: {CROSSED}. Look at the log" in text
    assert "The earlier version serves again" in text
    assert aws.endpoints[NAME].config == before
    aws.blue_green.at = {}
    made = two(bundles[1], **CANARY)
    assert made.status().version == bundles[1].version


def test_the_history_names_an_alarm_that_is_ok_again_and_no_older_firing(
    aws: AwsServer, bundles: Bundles
) -> None:
    cloudwatch().put_metric_alarm(**their_alarm("theirs"))
    aws.alarms.fire("theirs")
    aws.alarms.to("theirs", "OK", "over")
    aws.alarms._history[-2]["Timestamp"] -= 90_000_000  # years ago
    two(bundles[0], **CANARY)
    aws.blue_green.at = {1: lambda: aws.alarms.fire(errors_of(bundles[1], aws))}
    with pytest.raises(NotHealthy) as caught:
        two(bundles[1], **CANARY, other_alarms=["theirs"])
    assert "alarm theirs fired" not in str(caught.value)
    assert "errors-AllTraffic fired" in str(caught.value)
    assert aws.alarms.state(errors_of(bundles[1], aws)) == "OK"


def test_without_the_permission_the_roll_back_is_told_without_its_alarm(
    aws: AwsServer, bundles: Bundles
) -> None:
    two(bundles[0], **CANARY)
    said = "not authorized to perform: cloudwatch:DescribeAlarmHistory"
    aws.refusals["DescribeAlarmHistory"] = Refusal("AccessDeniedException", said)
    aws.blue_green.at = {1: lambda: aws.alarms.fire(errors_of(bundles[1], aws))}
    with pytest.raises(NotHealthy, match=r"fired is not known: cloudwatch:DescribeAlarmHistory is"):
        two(bundles[1], **CANARY)
    assert cloud().status().version == bundles[0].version


def their_alarm(name: str, **more: Any) -> dict[str, Any]:
    what = {"Namespace": "theirs", "MetricName": "m", "Statistic": "Sum", "Threshold": 1.0}
    rest = {"Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    return {"AlarmName": name, **what, **rest, **more}


def test_an_alarm_of_others_that_is_not_there_is_named_before_anything_is_made(
    aws: AwsServer, bundles: Bundles
) -> None:
    with pytest.raises(NotFound, match="other_alarms names theirs, and there is no such"):
        cloud(rollout={"other_alarms": ["theirs"]}).plan_deploy(bundles[0])
    assert aws.keys == {}


def test_an_alarm_in_alarm_before_the_update_is_said_and_refused(
    aws: AwsServer, bundles: Bundles
) -> None:
    cloudwatch().put_metric_alarm(**their_alarm("theirs"))
    deploy(bundles[0])
    aws.alarms.fire("theirs")
    made = cloud(rollout={"other_alarms": ["theirs"]})
    plan = made.plan_deploy(bundles[1])
    assert plan.summary.blocked.startswith(f"in ALARM now: theirs ({CROSSED}")
    with pytest.raises(Blocked, match="Nothing was changed"):
        execute(lambda: made.plan_deploy(bundles[1]), made, Consent(yes=True, terminal=False))
    assert list(aws.endpoints) == [NAME]
    aws.alarms.to("theirs", "OK", "over")
    plan = made.plan_deploy(bundles[1])
    aws.alarms.fire("theirs")  # after the plan: found just before the update
    with pytest.raises(CloudError, match=r"(?s)in ALARM now: theirs.*The earlier version serves"):
        apply(plan, made)
    assert made.status().version == bundles[0].version
    assert "UpdateEndpoint" not in [call.operation for call in aws.calls]


def test_instances_that_cannot_be_had_leave_the_earlier_version(
    aws: AwsServer, bundles: Bundles
) -> None:
    two(bundles[0], **CANARY)
    said = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity"
    plan = planned(bundles[1], **CANARY)
    made = cloud(instance_count=2, rollout=CANARY)
    smoked = next(s for s in plan.steps if s.operation == "smoke")
    index = plan.steps.index(smoked) + 1
    apply(replace(plan, steps=plan.steps[:index]), made)
    aws.endpoints.trouble[NAME] = Trouble(f"{said} error.")
    with pytest.raises(QuotaExceeded, match=r"(?s)InsufficientInstanceCapacity.*instance_type"):
        two(bundles[1], **CANARY)
    aws.endpoints.trouble.clear()
    assert cloud().status().version == bundles[0].version
    assert two(bundles[1], **CANARY).status().version == bundles[1].version


def test_a_part_of_the_requests_reaches_the_new_version_meanwhile(
    aws: AwsServer, bundles: Bundles
) -> None:
    made, asked = two(bundles[0], **CANARY), list[bool]()
    stages = []

    def look() -> None:
        found = aws.endpoints[NAME]
        asked.extend(aws.endpoints.answering(found) == found.pending for _ in range(40))
        found.looks = 1
        stages.append(made.status().details["under way"])

    aws.blue_green.at = {1: look}
    two(bundles[1], **CANARY)
    assert sum(asked) == 10
    assert made.invoke(QUESTION, 5).status == 200
    assert stages == [
        "Baking for 300 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of"
        " 1 instance(s)."
    ]


@pytest.mark.parametrize("traffic", ["canary", "linear"])
def test_one_instance_is_too_few_for_steps(aws: AwsServer, bundles: Bundles, traffic: str) -> None:
    deploy(bundles[0], rollout={"traffic": traffic})
    with pytest.raises(UsageError, match=r"needs at least 2 instances.*1 will run.*instance_count"):
        cloud(rollout={"traffic": traffic}).plan_deploy(bundles[1])
    aws.endpoints[NAME].count = 3  # as an autoscaler left it
    cloud(rollout={"traffic": traffic}).plan_deploy(bundles[1])


def test_other_variants_are_not_moved_in_steps(aws: AwsServer, bundles: Bundles) -> None:
    more = {"more": {"instance_type": "ml.m5.large", "instance_count": 2}}
    two(bundles[0], **CANARY)
    made = cloud(instance_count=2, variants=more, rollout=CANARY)
    with pytest.raises(UsageError, match="change from AllTraffic to AllTraffic, more"):
        made.plan_deploy(bundles[1])
    made = cloud(instance_count=2, variants=more)
    plan = made.plan_deploy(bundles[1])
    assert "DeploymentConfig" not in update_of(plan)
    apply(plan, made)
    assert len([n for n in aws.alarms.names if bundles[1].version in n]) == 2


def test_a_foreign_alarm_of_our_name_is_not_touched(aws: AwsServer, bundles: Bundles) -> None:
    plan = cloud().plan_deploy(bundles[0])
    (name,) = [step.name for step in plan.steps if step.resource == "alarm"]
    cloudwatch().put_metric_alarm(**their_alarm(name))
    with pytest.raises(NameTaken, match="onnxferry did not make it"):
        deploy(bundles[0])
    made = deploy(bundles[0], rollout={"alarms": False})
    apply(made.plan_delete(), made)
    (found,) = cloudwatch().describe_alarms()["MetricAlarms"]
    assert (found["AlarmName"], found["Namespace"]) == (name, "theirs")


def test_too_many_alarms_in_the_account(aws: AwsServer, bundles: Bundles) -> None:
    aws.alarms.most = 0
    with pytest.raises(QuotaExceeded, match=r"(?s)quota for alarms.*rollout.alarms = false"):
        deploy(bundles[0])
    assert dict(aws.sagemaker.endpoint_configs) == {}


def test_a_given_role_that_may_not_see_the_alarms(aws: AwsServer, bundles: Bundles) -> None:
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="given", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    blind = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [blind]})
    iam.put_role_policy(RoleName="given", PolicyName="p", PolicyDocument=document)
    assert "needs cloudwatch:DescribeAlarms" in " ".join(
        cloud(role=role).plan_deploy(bundles[0]).summary.notes
    )
    deploy(bundles[0], role=role)
    with pytest.raises(Blocked, match=r"(?s)DescribeAlarms.*Give the execution role"):
        deploy(bundles[1], role=role)
    assert cloud(role=role).status().version == bundles[0].version


def test_unproved_alarms_go_with_what_is_not_proved(aws: AwsServer, bundles: Bundles) -> None:
    made = deploy(bundles[0])
    plan = made.plan_deploy(bundles[1])
    index = next(i for i, step in enumerate(plan.steps) if step.resource == "alarm") + 1
    apply(replace(plan, steps=plan.steps[:index]), made)
    assert len(aws.alarms.names) == 2
    apply(made.plan_delete_unproved(), made)
    assert aws.alarms.names == [errors_of(bundles[0], aws)]
    assert made.plan_delete_unproved().steps == ()


@pytest.mark.parametrize(
    ("rollout", "said"),
    [
        ({"traffic": "linear", "step_percent": 5}, "10 to 50 percent"),
        ({"traffic": "linear", "step_percent": 10, "wait_seconds": 3600}, "32400 s of waits"),
        ({"other_alarms": [str(i) for i in range(9)]}, "at most 10 alarms"),
    ],
)
def test_what_sagemaker_does_not_take_is_refused_in_the_table(rollout: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings_of(rollout=rollout)


@pytest.mark.usefixtures("aws")
def test_a_serverless_endpoint_has_no_alarms() -> None:
    with pytest.raises(ValidationError, match="not rolled back by alarms"):
        settings_of(mode="serverless", rollout={"other_alarms": ["a"]})
    variant = {"VariantName": "AllTraffic", "ServerlessConfig": {}}
    names = cloud(mode="serverless").names
    assert alarms.requests(names, Watched("c", [variant], 5.0), {}) == []
    assert "DescribeAlarms" not in role_policy(names)["PolicyDocument"]


@pytest.mark.parametrize(("traffic", "steps"), [("canary", 1), ("linear", 3), ("all_at_once", 0)])
def test_how_long_the_steps_wait(traffic: Any, steps: int) -> None:
    rollout = SageMakerRollout(traffic=traffic, step_percent=25, wait_seconds=100)
    deployment = blue_green.guarded(rollout, ["a"], 600)
    assert blue_green.waits(deployment) == blue_green.waited(rollout) == steps * 100 + 100


def test_the_smallest_variant_decides_whether_steps_are_possible(
    aws: AwsServer, bundles: Bundles
) -> None:
    given = {"instance_count": 2, "variants": {"more": {"instance_count": 1}}}
    deploy(bundles[0], **given)
    with pytest.raises(UsageError, match="1 will run"):
        cloud(**given, rollout=CANARY).plan_deploy(bundles[1])
    aws.endpoints[NAME].scale("more", 2)
    deploy(bundles[1], **given, rollout=CANARY)
    assert cloud(**given).status().version == bundles[1].version
