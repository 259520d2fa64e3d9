"""Autoscaling: registered when the new version is proved, kept through updates, and gone before the
endpoint goes; what others registered is theirs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NotAllowed, QuotaExceeded, Refused
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scripts.rehearse import record
from onnxferry.scripts.rehearse.record import RehearsalRecord
from onnxferry.system.errors import UsageError
from tests.fakes.aws import AwsServer
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Trouble
from tests.fakes.aws.scaling import INSTANCES, ScalableTarget, ScalableTargets
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

RESOURCE = f"endpoint/{NAME}/variant/AllTraffic"
SCALING = {"min": 1, "max": 4, "target": 60}


def targets(aws: AwsServer) -> ScalableTargets:
    return aws.endpoints.scaling


def registered(aws: AwsServer, dimension: str = INSTANCES) -> ScalableTarget:
    return targets(aws)[RESOURCE, dimension]


def register(aws: AwsServer, **more: Any) -> None:
    """Others register the endpoint."""
    where = {"ResourceId": RESOURCE, "ScalableDimension": INSTANCES}
    limits = {"MinCapacity": 1, "MaxCapacity": 9}
    targets(aws).register({"ServiceNamespace": "sagemaker", **where, **limits, **more})


def steps(plan: Plan) -> list[Step]:
    """Those of autoscaling."""
    return [step for step in plan.steps if step.resource == "autoscaling"]


def words(plan: Plan) -> list[str]:
    return [f"{step.action.value} {step.resource}" for step in plan.steps]


def test_a_deployment_registers_the_variant_with_its_policy_and_tags(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0], scaling=SCALING, tags={"team": "ml"})
    found = registered(aws)
    assert (found.least, found.most) == (1, 4)
    assert found.tags["onnxferry:endpoint"] == NAME
    assert found.tags["team"] == "ml"
    assert list(found.policies) == ["onnxferry-squad-target"]
    assert found.policies["onnxferry-squad-target"]["TargetTrackingScalingPolicyConfiguration"] == {
        "TargetValue": 60.0,
        "PredefinedMetricSpecification": {
            "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
        },
        "ScaleOutCooldown": 60,
        "ScaleInCooldown": 300,
    }
    plan = made.plan_deploy(bundles[0])
    assert plan.changes == ()
    said = "Autoscaling of AllTraffic: 1 to 4 instances, 60 requests a minute each."
    assert said in plan.summary.notes
    (line,) = [line for line in made.status().resources if line[0] == "autoscaling"]
    assert line[1:] == (RESOURCE, "1 to 4 instances, 60 requests a minute each")
    assert [one.name for one in made.listed() if one.kind == "autoscaling"] == [RESOURCE]


def test_it_is_registered_after_the_proof_and_before_the_history(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    plan = cloud(scaling=SCALING).plan_deploy(bundles[0])
    assert words(plan)[-4:] == [
        "create endpoint",
        "check golden request to endpoint",
        "create autoscaling",
        "update history of endpoint",
    ]


@pytest.mark.parametrize(
    ("changes", "operation"),
    [
        ({"max": 6}, "RegisterScalableTarget"),
        ({"target": 70, "scale_in_seconds": 600}, "PutScalingPolicy"),
        ({"schedule": [{"at": "cron(0 7 ? * MON-FRI *)", "min": 2}]}, "PutScheduledAction"),
    ],
)
def test_a_changed_setting_is_a_change_that_is_told_and_made(
    aws: AwsServer, bundles: tuple[Bundle, ...], changes: dict[str, Any], operation: str
) -> None:
    deploy(bundles[0], scaling=SCALING)
    made = cloud(scaling={**SCALING, **changes})
    plan = made.plan_deploy(bundles[0])
    assert [str(step) for step in plan.changes] == [f"update autoscaling {RESOURCE}"]
    aws.begin()
    apply(plan, made)
    assert operation in {call.operation for call in aws.calls}
    assert made.plan_deploy(bundles[0]).changes == ()


def test_changed_tags_are_set_and_taken_away(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    """Those of others stay."""
    deploy(bundles[0], scaling=SCALING, tags={"team": "ml", "cost": "1"})
    registered(aws).tags["theirs"] = "yes"
    made = deploy(bundles[0], scaling=SCALING, tags={"team": "web"})
    found = registered(aws).tags
    assert (found["team"], "cost" in found, found["theirs"]) == ("web", False, "yes")
    assert made.plan_deploy(bundles[0]).changes == ()


def test_a_table_that_is_taken_away_is_deregistered(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    made = cloud()
    plan = made.plan_deploy(bundles[0])
    assert [str(step) for step in plan.changes] == [f"delete autoscaling {RESOURCE}"]
    apply(plan, made)
    assert targets(aws) == {}
    assert made.plan_deploy(bundles[0]).changes == ()


def test_what_somebody_changed_is_drift(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], scaling=SCALING)
    registered(aws).most = 9
    assert [step.resource for step in made.plan_deploy(bundles[0]).changes] == ["autoscaling"]
    deploy(bundles[0], scaling=SCALING)
    targets(aws).clear()
    assert [str(step) for step in made.plan_deploy(bundles[0]).changes] == [
        f"create autoscaling {RESOURCE}"
    ]


def test_an_update_keeps_it_with_the_instances_that_run(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    arn = registered(aws).arn
    aws.endpoints[NAME].count = 3
    made = deploy(bundles[1], scaling=SCALING)
    assert (registered(aws).arn, aws.endpoints[NAME].count) == (arn, 3)
    apply(made.plan_rollback(), made)
    assert (registered(aws).arn, aws.endpoints[NAME].count) == (arn, 3)


def test_around_another_instance_type_it_is_deregistered_and_registered_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    made = cloud(scaling=SCALING, instance_type="ml.m5.xlarge")
    plan = made.plan_deploy(bundles[0])
    assert words(plan)[-6:] == [
        "delete endpoint",  # the candidate
        "update autoscaling",
        "update endpoint",
        "check golden request to endpoint",
        "update autoscaling",
        "update history of endpoint",
    ]
    assert any("Nothing is autoscaled while" in note for note in plan.summary.notes)
    apply(plan, made)
    assert aws.endpoints[NAME].fleets["AllTraffic"].kind == "ml.m5.xlarge"
    assert registered(aws).tags["onnxferry:endpoint"] == NAME
    apply(made.plan_rollback(), made)
    assert aws.endpoints[NAME].fleets["AllTraffic"].kind == "ml.m5.large"
    assert (registered(aws).most, len(registered(aws).policies)) == (4, 1)
    assert deploy(bundles[0], scaling=SCALING).plan_deploy(bundles[0]).changes == ()


def test_an_update_that_fails_registers_what_was_there(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    schedule = [{"at": "rate(12 hours)", "max": 8}]
    deploy(bundles[0], scaling={**SCALING, "schedule": schedule})
    before = registered(aws)
    made = cloud(scaling=SCALING, instance_type="ml.m5.xlarge")
    plan = made.plan_deploy(bundles[0])
    aws.endpoints.trouble[NAME] = Trouble("insufficient capacity")
    with pytest.raises(QuotaExceeded, match="The earlier version serves again"):
        apply(plan, made)
    after = registered(aws)
    assert (after.least, after.most, after.tags) == (before.least, before.most, before.tags)
    assert after.actions.keys() == before.actions.keys()
    assert [_configured(p) for p in after.policies.values()] == [
        _configured(p) for p in before.policies.values()
    ]


def _configured(policy: dict[str, Any]) -> Any:
    return policy["TargetTrackingScalingPolicyConfiguration"]


def test_a_registration_that_fails_is_taken_away_and_made_by_the_next_run(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["PutScalingPolicy"] = Refusal("ValidationException", "no such metric")
    with pytest.raises(Refused, match=f"Removed what was not proved: autoscaling {RESOURCE}"):
        deploy(bundles[0], scaling=SCALING)
    assert targets(aws) == {}
    assert aws.endpoints[NAME].serving
    aws.refusals.clear()
    assert deploy(bundles[0], scaling=SCALING).plan_deploy(bundles[0]).changes == ()


def test_a_target_that_is_not_known_everywhere_yet_is_waited_for(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    targets(aws).unseen = 3
    deploy(bundles[0], scaling=SCALING)
    assert len(registered(aws).policies) == 1


def test_what_others_registered_is_not_ours_to_change(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    register(aws)
    with pytest.raises(NameTaken, match=r"registered, and not by.*deregister-scalable-target"):
        deploy(bundles[0], scaling=SCALING)
    deploy(bundles[1])  # nothing is in the way
    assert (registered(aws).most, registered(aws).tags) == (9, {})
    line = (RESOURCE, "1 to 9 instances, by others")
    assert line in [found[1:] for found in cloud().status().resources]
    assert [one for one in cloud().listed() if one.kind == "autoscaling"] == []


def test_what_others_added_to_ours_is_not_lost_without_a_word(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    action = {"Schedule": "rate(1 hour)", "ScalableTargetAction": {"MinCapacity": 2}}
    at = registered(aws).id
    targets(aws).put_action({**at, "ScheduledActionName": "theirs", **action})
    for settings in ({}, {"scaling": SCALING, "instance_type": "ml.m5.xlarge"}):
        with pytest.raises(Refused, match="others added to it: scheduled action theirs"):
            cloud(**settings).plan_deploy(bundles[0])
    deploy(bundles[1], scaling={**SCALING, "max": 5})
    assert list(registered(aws).actions) == ["theirs"]


def test_deletion_deregisters_ours_first(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], scaling=SCALING)
    plan = made.plan_delete()
    assert words(plan)[:2] == ["delete autoscaling", "delete endpoint"]
    targets(aws).outlives = True  # SageMaker would leave it
    apply(plan, made)
    assert (targets(aws), dict(aws.endpoints)) == ({}, {})


def test_deletion_tells_of_others_and_finds_what_is_left_of_ours(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    register(aws)
    plan = made.plan_delete()
    assert f"Others' autoscaling goes with the endpoint: {RESOURCE}." in plan.summary.notes
    apply(plan, made)
    assert targets(aws) == {}
    made = deploy(bundles[0], scaling=SCALING)
    targets(aws).outlives = True
    aws.endpoints.delete({"EndpointName": NAME})  # by others
    aws.endpoints.finish()
    assert steps(made.plan_delete())[0].action is Action.DELETE
    apply(made.plan_delete(), made)
    assert targets(aws) == {}


def test_an_endpoint_that_is_made_anew_is_registered_anew(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    aws.endpoints[NAME].state = "Failed"
    made = cloud(scaling=SCALING)
    plan = made.plan_deploy(bundles[1])
    done = [(step.action, step.operation) for step in steps(plan)]
    assert done == [(Action.UPDATE, "remove_scaling"), (Action.UPDATE, "put_scaling")]
    apply(plan, made)
    assert made.plan_deploy(bundles[1]).changes == ()


def test_a_running_autoscaler_is_no_hindrance(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    """It changes the number of instances between any two calls, and SageMaker refuses all else
    meanwhile."""
    made = deploy(bundles[0], scaling=SCALING)
    targets(aws).demand = iter((2, 3, None, 1) * 50)
    deploy(bundles[1], scaling=SCALING)
    assert made.status().version == bundles[1].version
    assert made.plan_deploy(bundles[1]).changes == ()
    apply(made.plan_rollback(), made)
    assert made.status().version == bundles[0].version
    assert any(c.operation == "UpdateEndpoint" for c in aws.calls)
    apply(made.plan_delete(), made)
    assert (dict(aws.endpoints), targets(aws)) == ({}, {})


def test_limits_of_a_scheduled_action_are_no_drift(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    morning = {"at": "cron(0 7 ? * MON-FRI *)", "timezone": "Europe/Berlin", "min": 3, "max": 9}
    scaling = {**SCALING, "schedule": [morning]}
    made = deploy(bundles[0], scaling=scaling)
    (name,) = registered(aws).actions
    assert registered(aws).actions[name]["Timezone"] == "Europe/Berlin"
    targets(aws).run(name)
    assert (registered(aws).least, aws.endpoints[NAME].state) == (3, "Updating")
    assert made.plan_deploy(bundles[0]).changes == ()
    deploy(bundles[1], scaling=scaling)
    assert (registered(aws).least, registered(aws).most, aws.endpoints[NAME].count) == (3, 9, 3)
    deploy(bundles[1], scaling=SCALING)
    assert registered(aws).actions == {}


def test_a_time_that_is_over_is_not_scheduled_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    schedule = [
        {"at": "at(2026-11-25T11:59:59)", "max": 8},
        {"at": "at(2026-11-25T13:30:00)", "timezone": "Europe/Berlin", "max": 9},
    ]
    made = deploy(bundles[0], scaling={**SCALING, "schedule": schedule})
    (found,) = registered(aws).actions.values()
    assert found["ScalableTargetAction"] == {"MaxCapacity": 9}
    assert made.plan_deploy(bundles[0]).changes == ()


def test_further_variants_are_scaled_each_by_its_instances(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    variants = {"big": {"instance_type": "ml.m5.xlarge"}}
    deploy(bundles[0], variants=variants, scaling=SCALING)
    assert aws.endpoints.scaling.scaled(NAME) == {"AllTraffic", "big"}


def rehearsed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, **figures: float) -> None:
    """A rehearsal of the bundle's package took 20 ms of CPU a request."""
    facts: dict[str, Any] = {
        **{"sha256": bundle.package.sha256, "python": "3.12", "runtime": "x", "machine": "x"},
        **{"start_seconds": 8.0, "latency_p50_ms": 10.0, "latency_p95_ms": 20.0},
        **{"memory_mib": 300.0, "cpus": 2, "cpu_ms": 20.0, **figures},
    }
    monkeypatch.setattr(record, "read", lambda package: RehearsalRecord(**facts))


def target(made: SageMakerCloud, bundle: Bundle) -> float:
    (step,) = steps(made.plan_deploy(bundle))
    return float(
        json.loads(json.dumps(asdict(step)))["parameters"]["policies"][0][
            "TargetTrackingScalingPolicyConfiguration"
        ]["TargetValue"]
    )


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({}, 3000),  # 2 CPUs x 50 a second x 60 s, halved
        ({"instance_type": "ml.c5.2xlarge"}, 12000),
        ({"serving": {"mode": "async"}}, 15000),  # what it answers in 150 s
    ],
)
def test_the_target_is_reckoned_from_the_rehearsal(
    aws: AwsServer,
    bundles: tuple[Bundle, ...],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    value: float,
) -> None:
    rehearsed(bundles[0], monkeypatch)
    made = cloud(scaling={"max": 4}, **settings)
    assert target(made, bundles[0]) == value
    assert any("ms of CPU a request" in n for n in made.plan_deploy(bundles[0]).summary.notes)


def test_workers_bound_it_where_their_number_is_set(
    aws: AwsServer, bundles: tuple[Bundle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed(bundles[0], monkeypatch, latency_p50_ms=50.0)
    one = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    assert target(cloud(scaling={"max": 4}, environment=one), bundles[0]) == 600


def test_figures_that_are_close_change_nothing_and_others_do(
    aws: AwsServer, bundles: tuple[Bundle, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed(bundles[0], monkeypatch)
    made = deploy(bundles[0], scaling={"max": 4})
    rehearsed(bundles[0], monkeypatch, cpu_ms=23.0)
    assert made.plan_deploy(bundles[0]).changes == ()
    rehearsed(bundles[0], monkeypatch, cpu_ms=60.0)
    assert [step.resource for step in made.plan_deploy(bundles[0]).changes] == ["autoscaling"]
    plan = made.plan_deploy(bundles[1])  # not rehearsed: what is registered stays
    assert steps(plan)[0].action is Action.CHECK
    assert any("was not rehearsed" in note for note in plan.summary.notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "not rehearsed.*rehearse.*scaling.target"),
        ({"instance_type": "ml.m5.metal"}, "how many CPUs ml.m5.metal has is not known"),
    ],
)
def test_without_a_rehearsal_or_a_target_nothing_is_guessed(
    aws: AwsServer, bundles: tuple[Bundle, ...], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        cloud(scaling={"max": 4}, **settings).plan_deploy(bundles[0])
    assert all(call.reads for call in aws.calls)


def test_a_quota_below_the_most_instances_is_told(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.endpoints.quotas["ml.m5.large for endpoint usage"] = 3
    made = deploy(bundles[0], scaling=SCALING)
    notes = cloud(scaling={**SCALING, "max": 5}).plan_deploy(bundles[0]).summary.notes
    said = "cannot reach its most instances: ml.m5.large for endpoint usage: 3 are allowed"
    assert any(said in note and "this needs 5 at a time" in note for note in notes)
    assert not any("cannot reach" in note for note in made.plan_deploy(bundles[0]).summary.notes)


def test_what_may_not_be_looked_at_is_not_registered_blindly(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.refusals["DescribeScalableTargets"] = Refusal("AccessDeniedException", "no", 403)
    with pytest.raises(NotAllowed, match="application-autoscaling:DescribeScalableTargets"):
        cloud(scaling=SCALING).plan_deploy(bundles[0])
    (note,) = cloud().plan_deploy(bundles[0]).summary.notes
    assert note.startswith("whether others autoscale the endpoint")


def test_the_names_of_two_endpoints_are_not_mixed(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], scaling=SCALING)
    other = replace(cloud(), endpoint=f"{NAME}-2")
    assert [line for line in other.status().resources if line[0] == "autoscaling"] == []
