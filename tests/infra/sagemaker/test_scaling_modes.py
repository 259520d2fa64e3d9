"""Autoscaling of what is no fleet of instances that always run: from zero where requests wait in a
queue, and of the provisioned concurrency of a serverless endpoint."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken
from tests.fakes.aws import AwsServer
from tests.fakes.aws.scaling import CONCURRENCY, INSTANCES
from tests.infra.sagemaker.conftest import NAME, cloud, deploy
from tests.infra.sagemaker.test_scaling import registered, targets

ASYNC: dict[str, Any] = {"serving": {"mode": "async"}, "scaling": {"min": 0, "max": 4, "target": 5}}


def alarms() -> list[Any]:
    """Those of the name of ours; there are others, which watch updates."""
    named = {"AlarmNames": ["onnxferry-squad-backlog"]}
    found = cloud().clients.call("cloudwatch", "describe_alarms", "alarms", **named)
    return list(found["MetricAlarms"])


def test_an_asynchronous_endpoint_comes_up_from_zero(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], **ASYNC)
    found = registered(aws)
    step = found.policies["onnxferry-squad-from-zero"]
    tracking = found.policies["onnxferry-squad-target"]["TargetTrackingScalingPolicyConfiguration"]
    metric = tracking["CustomizedMetricSpecification"]
    assert metric["MetricName"] == "ApproximateBacklogSizePerInstance"
    assert metric["Dimensions"] == [{"Name": "EndpointName", "Value": NAME}]
    (alarm,) = alarms()
    assert (alarm["MetricName"], alarm["Threshold"]) == ("HasBacklogWithoutCapacity", 1.0)
    assert alarm["AlarmActions"] == [step["PolicyARN"]]
    assert (found.least, made.plan_deploy(bundles[0]).changes) == (0, ())
    deploy(bundles[0], **{**ASYNC, "scaling": {"min": 1, "max": 4, "target": 5}})
    assert (list(registered(aws).policies), alarms()) == (["onnxferry-squad-target"], [])
    deploy(bundles[0], **ASYNC)
    apply(made.plan_delete(), made)
    assert (targets(aws), alarms()) == ({}, [])


def test_an_alarm_of_the_name_that_others_made_is_left(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    theirs = {
        **{"AlarmName": "onnxferry-squad-backlog", "Namespace": "x", "MetricName": "y"},
        **{"Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 3.0},
        "ComparisonOperator": "GreaterThanThreshold",
    }
    made = cloud(**ASYNC)
    made.clients.call("cloudwatch", "put_metric_alarm", "x", **theirs)
    with pytest.raises(NameTaken, match="alarm onnxferry-squad-backlog: it exists"):
        deploy(bundles[0], **ASYNC)
    (alarm,) = alarms()
    assert alarm["Threshold"] == 3.0


def test_provisioned_concurrency_is_scaled_by_its_use(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    serving = {"mode": "serverless", "provisioned_concurrency": 2}
    made = deploy(bundles[0], serving=serving, scaling={"min": 1, "max": 10})
    found = registered(aws, CONCURRENCY)
    tracking = found.policies["onnxferry-squad-target"]["TargetTrackingScalingPolicyConfiguration"]
    assert (found.most, tracking["TargetValue"]) == (10, 0.7)
    plan = made.plan_deploy(bundles[0])
    assert plan.changes == ()
    said = "Autoscaling of AllTraffic: 1 to 10 kept ready, 0.7 of them in use (the default)."
    assert said in plan.summary.notes
    assert json.loads(plan.to_json())["steps"]


def test_an_alarm_whose_endpoint_others_deleted_goes_too(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], **ASYNC)
    aws.endpoints.delete({"EndpointName": NAME})
    aws.endpoints.finish()
    assert (targets(aws), len(alarms())) == ({}, 1)
    apply(made.plan_delete(), made)
    assert alarms() == []


def test_an_endpoint_that_sleeps_is_updated_and_sleeps_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    """An instance answers the golden request; then the autoscaler takes it away as before."""
    deploy(bundles[0], **ASYNC)
    aws.endpoints[NAME].count = 0
    made = deploy(bundles[1], **ASYNC)
    assert (aws.endpoints[NAME].count, registered(aws).least) == (1, 0)
    targets(aws).demand = iter((0,))
    assert made.plan_deploy(bundles[1]).changes == ()
    aws.endpoints.finish()
    assert aws.endpoints[NAME].count == 0


def test_a_move_from_serverless_to_instances_scales_these(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    serving = {"mode": "serverless", "provisioned_concurrency": 2}
    deploy(bundles[0], serving=serving, scaling={"max": 10})
    made = deploy(bundles[0], scaling={"max": 4, "target": 60})
    assert [dimension for _, dimension in targets(aws)] == [INSTANCES]
    assert made.plan_deploy(bundles[0]).changes == ()
