"""A transform job as the very request that starts it.

One request to the container holds as many lines as its payload does, so its size is chosen by the
first rows: a response may be many times as large, and must come within an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.batch_check import Sample
from onnxferry.infra.batch_cost import cpus
from onnxferry.infra.batch_files import RECORDS
from onnxferry.infra.jobs import CSV, JSON_LINES, BatchRequest, Dataset
from onnxferry.infra.sagemaker.batch.places import Places
from onnxferry.infra.sagemaker.names import Names
from onnxferry.scoring.codecs import JSONLINES
from onnxferry.scoring.limits import variable
from onnxferry.system.errors import UsageError

_MIB = 1 << 20
_PAYLOAD = 6  # MB of one request: SageMaker's default
_MOST = 100  # MB of all requests at a time to one instance, and of each
_ANSWERS = 200 * _MIB  # of one request
_SECONDS = 3600  # that SageMaker waits for one answer, at most
_BUSY = 1800.0  # seconds of work in one request: half of that, for the estimate may be wrong


@dataclass(frozen=True)
class Batching:
    """`payload` in MB of one request; `several` lines in each, or one; `concurrent` requests to an
    instance at a time."""

    payload: int
    several: bool
    concurrent: int


def batching(dataset: Dataset, sample: Sample, instance_type: str) -> Batching:
    """How a dataset is cut into requests. Raises UsageError for a file that no request can hold."""
    count = cpus(instance_type)
    if dataset.format is JSON_LINES:
        least = min(_MOST, max(1, -(-4 * sample.longest // _MIB)))
        fits = (mb for mb in range(_PAYLOAD, least - 1, -1) if _fits(sample, mb * _MIB))
        payload = next(fits, max(least, _PAYLOAD))
        return Batching(payload, _fits(sample, payload * _MIB), _concurrent(count, payload))
    largest = max(dataset.missing, key=lambda file: file.size)
    payload = max(1, -(-largest.size // _MIB))
    where = f"{dataset.place}{largest.name}"
    if payload > _MOST:
        advice = "a picture cannot be larger" if dataset.format is not CSV else _SPLIT
        raise UsageError(f"{where}: {payload} MB, and SageMaker sends {_MOST} at most; {advice}")
    if dataset.format is CSV and not _fits(sample, largest.size):
        raise UsageError(
            f"{where}: {payload} MB of CSV go as one request, whose answers would take more than"
            f" {_BUSY / 60:.0f} minutes or {_ANSWERS // _MIB} MB; {_SPLIT}"
        )
    return Batching(payload, several=False, concurrent=_concurrent(count, payload))


_SPLIT = "split it, each part with the header, or make JSON Lines of it, which SageMaker splits"


def _fits(sample: Sample, size: int) -> bool:
    """Whether so many bytes can be one request, by the first rows."""
    if not sample.size:
        return True
    share = size / sample.size
    return share * sample.answers <= _ANSWERS and share * sample.cpu_ms / 1000 <= _BUSY


def _concurrent(count: int, payload: int) -> int:
    return max(1, min(count, _MOST // payload))


def environment(names: Names, payload: int) -> dict[str, str]:
    """Variables of the container that differ from the endpoint's: its limits. The user's stay."""
    own = {
        "MMS_MAX_RESPONSE_SIZE": str(_ANSWERS + 56 * _MIB),
        "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": str(_SECONDS),
        variable("body_bytes"): str((payload + 1) * _MIB),
    }
    return {key: value for key, value in own.items() if key not in names.settings.environment}


def manifest_key(job: str) -> str:
    """Where, below the output, the manifest of a job is."""
    return f"{RECORDS}{job}.manifest"


def transform_job(
    names: Names, places: Places, asked: BatchRequest, dataset: Dataset, cut: Batching
) -> dict[str, Any]:
    """CreateTransformJob, without the names of job and model."""
    rows, key = dataset.format.rows, names.settings.kms_key
    encrypted, volume = ({"KmsKeyId": key}, {"VolumeKmsKeyId": key}) if key else ({}, {})
    lines = dataset.format is JSON_LINES
    strategy = {"BatchStrategy": "MultiRecord" if cut.several else "SingleRecord"}
    return {
        "MaxConcurrentTransforms": cut.concurrent,
        "MaxPayloadInMB": cut.payload,
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": _SECONDS, "InvocationsMaxRetries": 1},
        "Environment": environment(names, cut.payload),
        **(strategy if lines else {}),
        "TransformInput": {
            "ContentType": dataset.format.content_type,
            "CompressionType": "None",
            "SplitType": "Line" if lines else "None",
        },
        "TransformOutput": {
            "S3OutputPath": places.output.url.rstrip("/"),
            "Accept": JSONLINES[0] if rows else "application/json",
            "AssembleWith": "Line" if rows else "None",
            **encrypted,
        },
        "TransformResources": {
            "InstanceType": asked.instance_type,
            "InstanceCount": asked.instances,
            **volume,
        },
    }


def named(request: Mapping[str, Any], job: str, model: str, places: Places) -> dict[str, Any]:
    """The request with the names of job, model and manifest."""
    url = f"{places.output.url}{manifest_key(job)}"
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": url}}
    what = {**request["TransformInput"], "DataSource": source}
    return {**request, "TransformJobName": job, "ModelName": model, "TransformInput": what}
