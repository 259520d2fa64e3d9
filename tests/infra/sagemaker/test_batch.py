"""Batch Transform: files in S3 are scored by a job, a row for each row; what is missing is done by
the next one, and nothing is paid that need not be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.apply import Interrupted, apply
from onnxferry.infra.batch_check import Sample, check
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotFound, QuotaExceeded, Refused
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.jobs import BatchJobs, BatchRequest, JobStatus
from onnxferry.infra.plan import Action, Plan
from onnxferry.infra.sagemaker.batch.cloud import TransformJobs
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, NOW, KeptSession, clock, cloud, deploy, settings_of

DATA = "their-data"
ASKED = BatchRequest(f"s3://{DATA}/in/", f"s3://{DATA}/out/", "ml.m5.large")
ITEM = json.dumps(tiny.QUESTION)
GOOD = f"{ITEM}\n{ITEM}\n"
NONE = Sample()
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"


def transform_jobs(**settings: Any) -> TransformJobs:
    given = settings_of(**settings)
    clients = AwsClients(given.profile, given.region, session=KeptSession)
    made = TransformJobs(clients, given, NAME, clock(), lambda: NOW)
    _: BatchJobs = made  # all that the command asks of one
    return made


def put(aws: AwsServer, files: Mapping[str, str | bytes]) -> None:
    """Files of the user's, below in/ in a bucket of theirs."""
    if DATA not in aws.s3.buckets:
        aws.s3.create_bucket(DATA, REGION)
    for name, text in files.items():
        aws.s3.put_object(DATA, f"in/{name}", text.encode() if isinstance(text, str) else text)


def answers(aws: AwsServer, name: str, bucket: str = DATA) -> list[Any]:
    """The lines of an answer file."""
    body = aws.s3.get_object(bucket, f"out/{name}.out").value
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def begin(
    bundle: Bundle, asked: BatchRequest = ASKED, sample: Sample = NONE, **settings: Any
) -> tuple[TransformJobs, Plan]:
    """As the command does it, up to a job that is at work."""
    made = transform_jobs(**settings)
    consent = Consent(yes=True, terminal=False)
    planned = execute(lambda: made.plan_batch(bundle, asked, sample), made, consent, force=True)
    return made, planned


def followed(made: TransformJobs, plan: Plan, asked: BatchRequest = ASKED) -> JobStatus:
    name = plan.steps[-1].name
    while (status := made.job(name, asked)).running:
        pass
    made.finish(asked)
    return status


def run(bundle: Bundle, asked: BatchRequest = ASKED, **settings: Any) -> JobStatus:
    made, plan = begin(bundle, asked, **settings)
    if plan.steps:
        return followed(made, plan, asked)
    made.finish(asked)
    done = len(made.dataset(asked).done)
    return JobStatus("", "nothing was missing", running=False, done=done, total=done)


def test_a_line_out_for_each_line_in_and_errors_in_place(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(
        aws,
        {"a.jsonl": f"{ITEM}\n{{bad\n{ITEM}\n", "deep/b.jsonl": GOOD, "_SUCCESS": "", "x.txt": "y"},
    )
    status = run(bundles[0])
    assert (status.state, status.done, status.total) == ("Completed", 2, 2)
    first, second, third = answers(aws, "a.jsonl")
    assert first == third == answers(aws, "deep/b.jsonl")[0]
    assert second["error"]["code"] == "invalid_body"
    assert len(answers(aws, "deep/b.jsonl")) == 2
    assert aws.endpoints == {}


def test_the_request_that_starts_a_job(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    run(bundles[0], kms_key="alias/mine", tags={"team": "ml"})
    (job,) = aws.transform_jobs.values()
    asked = job.asked
    assert asked["BatchStrategy"] == "MultiRecord"
    assert asked["TransformInput"]["SplitType"] == "Line"
    assert asked["TransformOutput"]["AssembleWith"] == "Line"
    assert asked["TransformOutput"]["KmsKeyId"] == "alias/mine"
    assert asked["TransformResources"]["VolumeKmsKeyId"] == "alias/mine"
    assert {"Key": "team", "Value": "ml"} in asked["Tags"]
    assert asked["MaxPayloadInMB"] * asked["MaxConcurrentTransforms"] <= 100
    assert "DataProcessing" not in asked
    assert aws.transform_jobs.requests == [GOOD.encode()]


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


def test_the_same_command_follows_a_job_that_is_at_work(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    _, first = begin(bundles[0])
    made, second = begin(bundles[0])
    assert second.steps[-1].action is Action.REUSE
    assert second.steps[-1].name == first.steps[-1].name
    assert followed(made, second).succeeded
    assert len(aws.transform_jobs) == 1


def test_what_has_answers_is_not_scored_again(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    run(bundles[0])
    _, plan = begin(bundles[0])
    assert (plan.steps, plan.changes) == ((), ())
    assert "1 file(s) are answered" in plan.summary.notes[0]
    put(aws, {"b.jsonl": GOOD})
    assert run(bundles[0]).done == 2
    assert aws.transform_jobs.requests == [GOOD.encode()] * 2
    assert {job.name[-2:] for job in aws.transform_jobs.values()} == {"-1", "-2"}


def test_a_file_that_failed_is_missing_and_done_by_the_next_job(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD, "b.jsonl": GOOD})
    aws.transform_jobs.trouble["a.jsonl"] = 500
    status = run(bundles[0])
    assert (status.state, status.done) == ("Failed", 1)
    assert "AlgorithmError: See job logs" in status.reason
    assert f"[sagemaker logs]: {DATA}/in/a.jsonl: ClientError: 500" in status.reason
    aws.transform_jobs.trouble.clear()
    assert run(bundles[0]).done == 2
    assert len(aws.transform_jobs.requests) == 3


def test_answers_may_lie_where_inputs_lie_in_their_bucket(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"deep/a.jsonl": GOOD})
    aws.transform_jobs.full_keys = True
    assert run(bundles[0]).done == 1


def test_a_single_file_is_no_prefix(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD, "a.jsonl.jsonl": GOOD})
    asked = BatchRequest(f"s3://{DATA}/in/a.jsonl", ASKED.output, "ml.m5.large")
    assert run(bundles[0], asked).total == 1


def test_a_folder_without_its_slash_is_not_another_that_begins_like_it(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a/x.jsonl": GOOD, "ab/y.jsonl": GOOD})
    asked = BatchRequest(f"s3://{DATA}/in/a", ASKED.output, "ml.m5.large")
    assert run(bundles[0], asked).total == 1


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


def test_a_job_is_cancelled(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, _ = begin(bundles[0])
    apply(made.plan_cancel(ASKED), made)
    (job,) = aws.transform_jobs.values()
    assert job.state == "Stopped"
    with pytest.raises(NotFound, match="nothing to cancel"):
        made.plan_cancel(ASKED)
    assert run(bundles[0]).done == 1


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


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.jsonl": GOOD, "b.csv": "x"}, "holds JSON Lines and CSV"),
        ({"a.txt": "x"}, "no file that is known by its suffix"),
        ({"a.jsonl": ""}, "the files are empty"),
    ],
)
def test_what_no_job_takes(aws: AwsServer, files: Mapping[str, str], said: str) -> None:
    put(aws, files)
    with pytest.raises(UsageError, match=said):
        transform_jobs().dataset(ASKED)


def test_places_that_are_none(aws: AwsServer) -> None:
    made = transform_jobs()
    with pytest.raises(UsageError, match="--input data: expected an address of S3"):
        made.dataset(BatchRequest("data", ASKED.output))
    with pytest.raises(NotFound, match="bucket nowhere"):
        made.dataset(BatchRequest("s3://nowhere/x/", ASKED.output))


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


def test_the_quota_of_transform_jobs_is_another(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    aws.endpoints.quotas["ml.m5.large for transform job usage"] = 1.0
    with pytest.raises(QuotaExceeded, match=r"large for transform job usage: 1 are allowed"):
        begin(bundles[0], BatchRequest(ASKED.input, ASKED.output, "ml.m5.large", 2))
    assert aws.transform_jobs == {}


def test_a_refused_job_leaves_nothing_half_made(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    with pytest.raises(Refused, match=r"transformResources\.instanceType"):
        begin(bundles[0], BatchRequest(ASKED.input, ASKED.output, "ml.t2.medium"))
    assert aws.sagemaker._models == {}
    (role,) = aws.roles.values()
    assert not [name for name in role.policies if "batch" in name]


@pytest.mark.parametrize("fault", ["refused", "interrupted"])
def test_a_begin_that_ends_early_is_gone_on_with(
    aws: AwsServer, bundles: tuple[Bundle, ...], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(aws, {"a.jsonl": GOOD})
    made = transform_jobs()
    if fault == "refused":
        aws.refusals["CreateTransformJob"] = Refusal("ThrottlingException", "Rate exceeded")
        with pytest.raises(CloudError):
            begin(bundles[0])
        aws.refusals.clear()
    else:
        plan = made.plan_batch(bundles[0], ASKED, Sample())
        operations = type(made)._operations
        monkeypatch.setattr(operations, "put_text", _ctrl_c)
        with pytest.raises(Interrupted):
            apply(plan, made)
        monkeypatch.undo()
    assert run(bundles[0]).succeeded


def _ctrl_c(*_: Any) -> None:
    raise KeyboardInterrupt


def test_csv_goes_whole_so_that_cells_may_hold_newlines(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    text = 'question,context\nwho sings,"dolly\nparton sings"\nwho\n'
    put(aws, {"a.csv": text})
    assert run(bundles[0]).succeeded
    (job,) = aws.transform_jobs.values()
    assert job.asked["TransformInput"]["SplitType"] == "None"
    assert "BatchStrategy" not in job.asked
    assert aws.transform_jobs.requests == [text.encode()]
    first, second = answers(aws, "a.csv")
    assert "answer" in first
    assert second["error"]["code"] == "invalid_body"


def test_a_payload_holds_as_many_lines_as_answers_come_back_in_time(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    put(aws, {"a.jsonl": GOOD})
    large = Sample(rows=1, size=100, answers=10_000, longest=100, cpu_ms=1)
    slow = Sample(rows=1, size=100, answers=100, longest=100, cpu_ms=1000)
    wide = Sample(rows=1, size=8 << 20, answers=100, longest=8 << 20, cpu_ms=1)
    found = []
    for sample in (Sample(), large, slow, wide):
        steps = transform_jobs().plan_batch(bundles[0], ASKED, sample).steps
        asked = steps[-1].parameters
        found.append((asked["MaxPayloadInMB"], asked["BatchStrategy"]))
    assert found == [
        (6, "MultiRecord"),
        (2, "MultiRecord"),
        (6, "SingleRecord"),
        (32, "MultiRecord"),
    ]


def test_the_first_rows_are_scored_here(
    aws: AwsServer, tmp_path: Path, bundles: tuple[Bundle, ...]
) -> None:
    model = tiny.question_answering(tmp_path / "model")
    put(aws, {"a.jsonl": f"{ITEM}\n{{bad\n" + GOOD * 3000})
    made = transform_jobs()
    dataset = made.dataset(ASKED)
    aws.begin()
    sample = check(model, dataset, lambda file, size: made.start_of(dataset, file, size))
    (call,) = aws.calls
    assert call.headers["range"] == "bytes=0-65535"
    assert (sample.rows, dict(sample.refused)) == (20, {"invalid_body": 1})
    assert sample.example.startswith("a.jsonl row 2: the line is not JSON")
    assert "19 answered, 1 refused" in sample.text()


def test_a_model_that_takes_none_of_the_first_rows_starts_nothing(
    aws: AwsServer, tmp_path: Path
) -> None:
    model = tiny.question_answering(tmp_path / "model")
    put(aws, {"a.jsonl": "1\n2\n"})
    made = transform_jobs()
    dataset = made.dataset(ASKED)
    with pytest.raises(UsageError, match=r"refuses all of the first 2 row\(s\)"):
        check(model, dataset, lambda file, size: made.start_of(dataset, file, size))


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
