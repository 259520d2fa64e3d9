"""How many instances run: never more than an update needs, as many as somebody has scaled to, and
no more than the account's quota, which is asked before anything is made."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import QuotaExceeded, Refused
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.plan import Plan
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Endpoint
from tests.fakes.aws.scaling import INSTANCES
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

CANDIDATE = f"{NAME}-candidate"
QUOTA = "ml.m5.large for endpoint usage"
DENIED = Refusal("AccessDeniedException", "no", 403)
YES = Consent(yes=True, terminal=False)


def planned(bundle: Bundle, **settings: Any) -> Plan:
    return cloud(**settings).plan_deploy(bundle)


def test_an_update_fits_into_a_quota_of_twice_what_serves(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.endpoints.quotas[QUOTA] = 4
    for each in bundles[:2]:
        deploy(each, instance_count=2)
    assert cloud().status().version == bundles[1].version
    assert aws.endpoints.most == 4


@pytest.mark.parametrize(
    ("serving", "wanted", "peak"),
    [
        ({}, {}, "2 x ml.m5.large"),
        ({"instance_count": 2}, {"instance_count": 3}, "5 x ml.m5.large"),
        ({"instance_count": 3}, {"instance_count": 1}, "4 x ml.m5.large"),
        ({}, {"instance_type": "ml.m5.xlarge"}, "1 x ml.m5.large and 1 x ml.m5.xlarge"),
    ],
)
def test_the_peak_is_what_runs_at_most(
    aws: AwsServer,
    bundles: tuple[Bundle, ...],
    serving: dict[str, Any],
    wanted: dict[str, Any],
    peak: str,
) -> None:
    deploy(bundles[0], **serving)
    assert planned(bundles[1], **wanted).summary.peak == peak
    deploy(bundles[1], **wanted)
    assert aws.endpoints.most == sum(int(each.split()[0]) for each in peak.split(" and "))
    assert planned(bundles[1], **wanted).summary.peak == ""


def test_a_quota_that_does_not_suffice_is_said_before_anything_is_made(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.endpoints.quotas[QUOTA] = 2
    aws.endpoints["other"] = Endpoint("other", "arn", aws.endpoints[NAME].config)
    aws.endpoints["other"].state = "InService"
    aws.begin()
    made = cloud()
    with pytest.raises(QuotaExceeded) as caught:
        execute(partial(made.plan_deploy, bundles[1]), made, YES)
    assert "2 are allowed in eu-west-1, 1 serve other" in str(caught.value)
    assert "this needs 2 at a time" in str(caught.value)
    assert "--desired-value 3 --region eu-west-1" in str(caught.value)
    assert all(call.reads for call in aws.calls)


def test_a_quota_that_may_not_be_asked_is_a_line_in_the_plan(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.endpoints.quotas[QUOTA] = 0
    aws.refusals["ListServiceQuotas"] = DENIED
    summary = planned(bundles[0]).summary
    said = "the quota was not checked: servicequotas:ListServiceQuotas is missing"
    assert (summary.shortage, summary.notes[-1]) == ("", said)


def test_a_deployment_keeps_the_instances_that_run(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.endpoints[NAME].count = 4
    plan = planned(bundles[1])
    assert (plan.summary.instances, plan.summary.peak) == ("4 x ml.m5.large", "8 x ml.m5.large")
    assert "stays 4: sagemaker.serving.instance_count says 1" in plan.summary.notes[0]
    assert (plan.summary.region, plan.summary.count) == (REGION, 4)
    made = deploy(bundles[1])
    assert aws.endpoints[NAME].count == 4
    assert made.status().details["instances"] == "4 x ml.m5.large"
    apply(made.plan_rollback(), made)
    assert aws.endpoints[NAME].count == 4


def test_a_changed_number_of_instances_is_set(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    aws.endpoints[NAME].count = 4
    made = deploy(bundles[1], instance_count=2)
    assert aws.endpoints[NAME].count == 2
    apply(made.plan_rollback(), made)
    assert aws.endpoints[NAME].count == 1


def test_an_update_that_is_taken_back_keeps_the_instances_too(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.endpoints[NAME].count = 3
    made = cloud()
    plan = made.plan_deploy(bundles[1])
    promote = next(step for step in plan.steps if step.operation == "promote")
    assert promote.restore is not None
    for step in plan.steps[: plan.steps.index(promote) + 1]:
        if step.operation:
            made.execute(step, lambda text: None)
    made.execute(promote.restore, lambda text: None)
    found = aws.endpoints[NAME]
    assert (made.names.version_of(found.config), found.count) == (bundles[0].version, 3)


def scale(aws: AwsServer) -> None:
    """Others register the endpoint."""
    asked = {"ServiceNamespace": "sagemaker", "ScalableDimension": INSTANCES}
    where = {"ResourceId": f"endpoint/{NAME}/variant/AllTraffic"}
    aws.endpoints.scaling.register({**asked, **where, "MinCapacity": 1, "MaxCapacity": 9})


def test_the_instance_type_of_an_autoscaled_endpoint_is_refused_at_once(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    scale(aws)
    deploy(bundles[1])
    with pytest.raises(
        Refused, match=r"(?s)autoscaled.*deregister-scalable-target.*endpoint/squad"
    ):
        planned(bundles[1], instance_type="ml.m5.xlarge")
    aws.refusals["DescribeScalableTargets"] = DENIED
    with pytest.raises(Refused, match=r"(?s)deregistered as scalable.*deregister-scalable-target"):
        deploy(bundles[1], instance_type="ml.m5.xlarge")
    assert cloud().status().details["instances"] == "1 x ml.m5.large"
    assert list(aws.endpoints) == [NAME]


def test_a_quota_that_the_account_has_not_is_not_missed(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    """AWS tells it at the creation."""
    del aws.endpoints.quotas[QUOTA]
    assert planned(bundles[0]).summary.shortage == ""
    with pytest.raises(QuotaExceeded, match=f"{QUOTA}' is 0 Instances"):
        deploy(bundles[0])
    assert f"arn:aws:iam::{ACCOUNT}:role/onnxferry-{NAME}-{REGION}" == cloud().names.role_arn
