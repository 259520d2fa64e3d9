"""Jobs of others, answers of others, rights that are taken back, and what deleting and updating the
endpoint mean for jobs at work."""

from __future__ import annotations

import json

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.jobs import BatchRequest
from onnxferry.infra.plan import Action
from onnxferry.system.errors import UsageError
from tests.fakes.aws import AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.batches import (
    ASKED,
    DATA,
    GOOD,
    ROLE,
    begin,
    followed,
    put,
    run,
    transform_jobs,
)
from tests.infra.sagemaker.conftest import NAME, cloud, deploy


def test_the_role_may_read_the_input_and_write_the_output_for_the_time_of_the_job(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, plan = begin(bundles[0])
    (role,) = aws.roles.values()
    (text,) = [text for name, text in role.policies.items() if "batch" in name]
    resources = {s["Resource"]: s["Action"] for s in json.loads(text)["Statement"]}
    assert resources[f"arn:aws:s3:::{DATA}/in/*"] == ["s3:GetObject"]
    assert resources[f"arn:aws:s3:::{DATA}/out/*"] == ["s3:PutObject", "s3:AbortMultipartUpload"]
    assert resources[f"arn:aws:s3:::{DATA}"] == ["s3:ListBucket"]
    assert f"arn:aws:s3:::{DATA}/*" not in resources
    followed(made, plan)
    assert not [name for name in aws.roles[made.names.role].policies if "batch" in name]


def test_rights_of_jobs_that_nobody_followed_go_with_the_next(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, _ = begin(bundles[0])
    other = BatchRequest(ASKED.input, f"s3://{DATA}/other/", ASKED.instance_type)
    begin(bundles[0], other)
    given = [name for name in aws.roles[made.names.role].policies if "batch" in name]
    assert len(given) == 2  # the first job is at work
    aws.transform_jobs.finish()
    assert run(bundles[0], BatchRequest(ASKED.input, f"s3://{DATA}/third/")).succeeded
    assert not [name for name in aws.roles[made.names.role].policies if "batch" in name]


def test_a_job_needs_no_endpoint_and_shares_its_model(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    deploy(bundles[0])
    before = set(aws.sagemaker._models)
    made = transform_jobs()
    plan = made.plan_batch(bundles[0], ASKED, Sample())
    created = {s.resource for s in plan.steps if s.action is Action.CREATE}
    assert created == {"role policy", "record of the batch", "manifest", "transform job"}
    apply(plan, made)
    assert set(aws.sagemaker._models) == before


def test_answers_of_another_version_are_not_mixed(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    run(bundles[0])
    put(aws, {"b.jsonl": GOOD})
    with pytest.raises(UsageError, match=rf"are of version {bundles[0].version}; give another"):
        begin(bundles[1])
    again = BatchRequest(ASKED.input, ASKED.output, ASKED.instance_type, overwrite=True)
    assert run(bundles[1], again).done == 2
    assert len(aws.transform_jobs.requests) == 3


def test_answers_of_nobody_knows_which_model_stay(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    aws.s3.put_object(DATA, "out/a.jsonl.out", b"theirs")
    with pytest.raises(UsageError, match="of nobody knows which model"):
        begin(bundles[0])
    assert aws.s3.get_object(DATA, "out/a.jsonl.out").value == b"theirs"


def test_another_version_at_work_on_the_same_output_is_named(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    begin(bundles[0])
    with pytest.raises(UsageError, match=r"this job of another version is at work .* --cancel"):
        begin(bundles[1])


def test_somebody_elses_job_of_our_name_is_not_stopped(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, _ = begin(bundles[0])
    plan = made.plan_cancel(ASKED)
    (job,) = aws.transform_jobs.values()
    job.tags = []
    apply(plan, made)
    assert job.state == "InProgress"


def test_a_given_role_is_told_what_it_needs_and_gets_nothing(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made = transform_jobs(role=ROLE)
    plan = made.plan_batch(bundles[0], ASKED, Sample())
    needs = (
        f"s3:GetObject on s3://{DATA}/in/* and s3:PutObject and s3:GetObject on s3://{DATA}/out/*"
    )
    assert f"The role {ROLE} needs {needs}." in plan.summary.notes
    assert "role policy" not in {step.resource for step in plan.steps}


def test_a_role_that_may_not_read_fails_the_job_with_the_reason(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, plan = begin(bundles[0])
    aws.roles[made.names.role].policies.clear()
    status = followed(made, plan)
    assert (status.state, status.done) == ("Failed", 0)
    assert "Access denied when calling s3:GetObject" in status.reason


def test_deleting_the_endpoint_stops_its_jobs(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    deploy(bundles[0])
    begin(bundles[0])
    (job,) = aws.transform_jobs.values()
    made = cloud()
    assert ("transform job", job.name, "at work, billed by the hour") in made.status().resources
    plan = made.plan_delete()
    apply(plan, made)
    assert job.state == "Stopped"
    assert aws.roles == {}
    assert aws.s3.buckets.keys() == {DATA}


def test_a_model_that_somebody_elses_job_needs_is_kept(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    deploy(bundles[0])
    begin(bundles[0])
    (job,) = aws.transform_jobs.values()
    theirs = {**job.asked, "TransformJobName": "theirs", "Tags": []}
    aws.transform_jobs.create(theirs)
    made = cloud()
    plan = made.plan_delete()
    model = job.asked["ModelName"]
    assert f"{model} stays: transform job theirs uses it." in plan.summary.notes
    apply(plan, made)
    assert list(aws.sagemaker._models) == [model]
    assert aws.transform_jobs["theirs"].state == "InProgress"


def test_all_that_is_listed_names_jobs_at_work(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, _ = begin(bundles[0])
    (job,) = aws.transform_jobs.values()
    (listed,) = [one for one in made.listed() if one.kind == "transform job"]
    assert (listed.name, listed.endpoint, listed.state) == (job.name, NAME, "InProgress")
    aws.transform_jobs.finish()
    assert not [one for one in made.listed() if one.kind == "transform job"]


def test_without_the_permission_to_list_jobs_the_rest_is_done(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["ListTransformJobs"] = Refusal("AccessDeniedException", "no", 403)
    made = deploy(bundles[0])
    plan = made.plan_delete()
    assert any("batch jobs that are at work are not looked for" in n for n in plan.summary.notes)
    apply(plan, made)
    assert (dict(aws.endpoints), aws.sagemaker._models) == ({}, {})


def test_a_version_that_a_job_needs_is_kept(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    begin(bundles[2])
    deploy(bundles[0])
    deploy(bundles[1])
    assert any(bundles[2].version in name for name in aws.sagemaker._models)
    aws.transform_jobs.finish()
    made = deploy(bundles[1])
    assert not any(bundles[2].version in name for name in aws.sagemaker._models)
    assert made.status().version == bundles[1].version
