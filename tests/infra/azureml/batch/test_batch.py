"""Batch endpoints: files of a datastore are scored by a job, a row for each row; what is missing is
done by the next one, and nothing is paid that need not be."""

from __future__ import annotations

from onnxferry.infra.cloud import Bundle
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.batch import BATCH_DEPLOYMENTS, BATCH_ENDPOINTS
from tests.fakes.azure.providers.batch_computes import COMPUTES
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, MachineLearning
from tests.infra.azureml.batch.batches import GOOD, ITEM, answers, begin, blobs, followed, put
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
    assert endpoint["tags"]["onnxferry"] == endpoint["name"] == NAME
