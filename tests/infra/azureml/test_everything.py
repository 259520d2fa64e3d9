"""All that any feature makes is listed, and is gone after `delete`; what is captured is the
user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.azureml.names import MADE
from onnxferry.infra.cloud import Bundle
from onnxferry.scoring.wire import Request
from tests.fakes.azure import AzureFake
from tests.fakes.azure.providers.machinelearning import ENDPOINTS, MachineLearning
from tests.infra.azureml.batch.batches import GOOD, begin, jobs_of, lean, put, with_batch
from tests.infra.azureml.conftest import connected, deploy

pytestmark = pytest.mark.series
ALL: dict[str, Any] = {
    "capture": {"percent": 100},
    "scaling": {
        "min": 1,
        "max": 2,
        "target": 60,
        "schedule": [{"at": "cron(0 8 ? * MON-FRI *)", "min": 2}],
    },
    "tags": {"team": "ml"},
}


def ours(azure: AzureFake) -> dict[str, str]:
    """The kinds of what carries our mark, by id."""
    found = {}
    for one in azure.store.everything():
        tags = {**(one.get("tags") or {}), **((one.get("properties") or {}).get("tags") or {})}
        if MADE in tags:
            found[str(one["id"])] = str(one["type"])
    return found


def stored(azure: AzureFake) -> list[str]:
    """The files in onnxferry's folder; the record of a batch lies beside its answers."""
    there = azure.blobs.accounts["wsstore"]["azureml-blobstore"]
    return sorted(name for name in there if name.startswith("onnxferry/"))


def test_what_every_feature_makes_is_listed_and_goes(
    azure: AzureFake, ml: MachineLearning, versions: dict[str, Bundle], tmp_path: Path
) -> None:
    before = set(azure.store._resources)
    deploy(connected(**ALL), versions["a"])
    deploy(connected(**ALL), versions["b"])
    mirrored = connected(**ALL, rollout={"mirror": 20})
    deploy(mirrored, versions["c"])
    mirrored.invoke(Request(b'{"inputs": "x"}'), 9)
    put(azure, {"a.jsonl": GOOD})
    begin(lean(with_batch(versions["a"], tmp_path / "batch")), made=jobs_of(**ALL))

    made = ours(azure)
    kinds = {kind.rpartition("/")[2].lower() for kind in made.values()}
    assert kinds >= {
        "onlineendpoints",
        "deployments",
        "autoscalesettings",
        "batchendpoints",
        "computes",
    }
    listed = mirrored.listed()
    names = {one.name for one in listed}
    for id_, kind in made.items():
        if "/codes/" not in id_:  # whose files are listed
            name = id_.rpartition("/")[2]
            assert any(name == one or one.endswith(f":{name}") for one in names), (kind, id_)

    plan = mirrored.plan_delete()
    apply(plan, mirrored)
    assert ours(azure) == {}
    assert stored(azure) == []
    assert not mirrored.plan_delete().changes
    left = {id_ for id_ in azure.store._resources if id_ not in before}
    assert not [id_ for id_ in left if "/onlineendpoints/" in id_ or "/batchendpoints/" in id_]
    assert mirrored.listed() == []
    assert list(azure.store.all(ENDPOINTS)) == []
