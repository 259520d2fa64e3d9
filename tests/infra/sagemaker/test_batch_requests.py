"""The request that starts a job, what is refused before, and the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxferry.infra.batch_check import Sample, check
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound, QuotaExceeded, Refused
from onnxferry.infra.jobs import BatchRequest
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.fakes.aws import AwsServer
from tests.infra.sagemaker.batches import (
    ASKED,
    GOOD,
    ITEM,
    answers,
    begin,
    put,
    run,
    transform_jobs,
)


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
