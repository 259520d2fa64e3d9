"""Batch Transform: files in S3 are scored by a job, a row for each row; what is missing is done by
the next one, and nothing is paid that need not be."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.infra.apply import Interrupted, apply
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.jobs import BatchRequest
from onnxferry.infra.plan import Action
from tests.fakes.aws import AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.batches import (
    ASKED,
    DATA,
    GOOD,
    ITEM,
    answers,
    begin,
    followed,
    put,
    run,
    transform_jobs,
)


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


def test_a_job_is_cancelled(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    put(aws, {"a.jsonl": GOOD})
    made, _ = begin(bundles[0])
    apply(made.plan_cancel(ASKED), made)
    (job,) = aws.transform_jobs.values()
    assert job.state == "Stopped"
    with pytest.raises(NotFound, match="nothing to cancel"):
        made.plan_cancel(ASKED)
    assert run(bundles[0]).done == 1


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
