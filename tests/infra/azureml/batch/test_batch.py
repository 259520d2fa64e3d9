"""Batch endpoints: files of a datastore are scored by a job, a row for each row; what is missing is
done by the next one, and nothing is paid that need not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.batch.jobs import KIND
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action
from onnxferry.system.errors import UsageError
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.batch import BATCH_DEPLOYMENTS, BATCH_ENDPOINTS
from tests.fakes.azure.providers.computes import COMPUTES
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, WORKSPACES, MachineLearning
from tests.infra.azureml.batch.batches import (
    ASKED,
    GOOD,
    ITEM,
    answers,
    begin,
    blobs,
    followed,
    put,
    run,
)
from tests.infra.azureml.conftest import NAME


def test_a_line_out_for_each_line_in_by_the_packages_own_script(
    ml: MachineLearning, azure: AzureFake, whole: dict[str, Bundle]
) -> None:
    lines = f"{ITEM}\n{{bad\n" + GOOD * 5
    put(azure, {"a.jsonl": lines, "deep/b.jsonl": GOOD, "x.txt": "y", "empty.jsonl": ""})
    ml.batch.real = True
    made, plan = begin(whole["a"])
    assert "Passed over: 1 of no known format, 1 without a byte." in plan.summary.notes
    status = followed(made, plan)
    assert (status.state, status.done, status.total) == ("Completed", 2, 2)
    first, second, *rest = answers(azure, "a.jsonl")
    assert second["error"]["code"] == "invalid_body"
    assert rest == [first] * 10
    assert answers(azure, "deep/b.jsonl") == [first] * 2
    left = [name for name in blobs(azure) if name.startswith("out/_onnxferry/")]
    assert left == ["out/_onnxferry/batch.json"]
    cluster = next(azure.store.all(COMPUTES))
    facts = cluster["properties"]["properties"]
    assert facts["scaleSettings"]["minNodeCount"] == 0
    assert (cluster["name"], facts["vmSize"]) == ("onnxferry-batch", "Standard_F2s_v2")
    assert not list(azure.store.all(ENDPOINTS))
    (endpoint,), (_,) = azure.store.all(BATCH_ENDPOINTS), azure.store.all(BATCH_DEPLOYMENTS)
    assert (endpoint["name"], endpoint["tags"]["onnxferry"]) == (f"{NAME}-batch", NAME)


def test_what_is_missing_is_done_and_nothing_else(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    files = dict.fromkeys(("a.jsonl", "b.jsonl", "deep/c.jsonl"), GOOD)
    put(azure, files)
    ml.batch.trouble = {"a.jsonl": "cut", "c.jsonl": "lost"}
    made, first = begin(bundles["a"])
    _, second = begin(bundles["a"])
    assert second.steps[-1].action is Action.REUSE
    assert second.steps[-1].name == first.steps[-1].name
    ml.batch.end()
    _, third = begin(bundles["a"])  # it has ended, and nobody has collected its answers
    assert (third.steps[-1].action, third.steps[-1].name) == (Action.REUSE, first.steps[-1].name)
    status = followed(made, third)
    assert (status.state, status.done, status.total) == ("Completed", 1, 3)
    assert status.reason == "a.jsonl: 1 of its rows came, and not all"
    ml.batch.trouble.clear()
    assert run(bundles["a"]).done == 3
    assert ml.batch.runs == [sorted(files), ["a.jsonl", "deep/c.jsonl"]]
    assert len(answers(azure, "deep/c.jsonl")) == 2
    put(azure, {"d.jsonl": GOOD})
    assert run(bundles["a"]).done == 4
    assert ml.batch.runs[2:] == [["d.jsonl"]]
    _, plan = begin(bundles["a"])
    assert (plan.steps, "4 file(s) are answered" in plan.summary.notes[0]) == ((), True)
    assert [name for name in blobs(azure) if name.startswith("out/_onnxferry/squad")] == []
    assert [job[-2:] for job in ml.batch.jobs] == ["-1", "-2", "-3"]


def test_answers_of_another_version_are_not_mixed_with(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    put(azure, {"a.jsonl": GOOD})
    made, plan = begin(bundles["a"])
    with pytest.raises(UsageError, match="this job of another version is at work"):
        begin(bundles["b"])
    followed(made, plan)
    before = answers(azure, "a.jsonl")
    with pytest.raises(UsageError, match=f"version {bundles['a'].version}; give another --output"):
        begin(bundles["b"])
    again = replace(ASKED, overwrite=True)
    made, plan = begin(bundles["b"], again)
    assert made.job(plan.steps[-1].name, again).done == 0
    assert followed(made, plan, again).done == 1
    assert answers(azure, "a.jsonl") != before
    (deployment,) = azure.store.all(BATCH_DEPLOYMENTS)  # that of a is pruned, and its model
    assert deployment["name"].startswith(f"v{bundles['b'].version}")
    assert len(list(azure.store.all(f"{WORKSPACES}/models/versions"))) == 1
    del blobs(azure)["out/_onnxferry/batch.json"]
    with pytest.raises(UsageError, match="of nobody knows which model"):
        begin(bundles["b"])


def test_a_job_is_cancelled_and_a_failed_one_says_where_it_says_why(
    ml: MachineLearning, azure: AzureFake, bundles: dict[str, Bundle]
) -> None:
    put(azure, {"a.jsonl": GOOD})
    made, _ = begin(bundles["a"])
    assert (KIND, f"{NAME}-") in {(kind, name[:6]) for kind, name, _ in made.status().resources}
    assert KIND in {one.kind for one in made.listed()}
    apply(made.plan_cancel(ASKED), made)
    assert [job["properties"]["status"] for job in ml.batch.jobs.values()] == ["Canceled"]
    with pytest.raises(NotFound, match="nothing to cancel"):
        made.plan_cancel(ASKED)
    ml.batch.failing = "UserError"
    status = run(bundles["a"])
    assert (status.state, status.done) == ("Failed", 0)
    assert f"https://ml.azure.com/runs/{status.name}: logs/user/error.txt" in status.reason
    assert run(bundles["a"]).succeeded
