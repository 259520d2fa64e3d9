"""What an asynchronous endpoint needs beside its instances: where requests, answers and failures
are in S3, who is told of them, and what its role may do there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.target_tables.sagemaker import Async

ASYNC = "async/"  # below the endpoint's folder


def requests(names: Names) -> str:
    """Where onnxferry uploads requests (s3://.../), beside the packages."""
    return f"s3://{names.bucket}/{names.folder}{ASYNC}requests/"


def places(names: Names, asked: Mapping[str, Any]) -> dict[str, str]:
    """Where requests, answers and failures are of an endpoint with this AsyncInferenceConfig."""
    output = asked["OutputConfig"]
    put = {"answers": output["S3OutputPath"], "failures": output.get("S3FailurePath", "")}
    return {**own(names), **put}


def own(names: Names) -> dict[str, str]:
    """Where requests are put, and what is the endpoint's own."""
    return {"requests": requests(names), "own": f"s3://{names.bucket}/{names.folder}"}


def answers(names: Names, serving: Async) -> str:
    """Where SageMaker puts answers (s3://.../)."""
    return serving.output or f"s3://{names.bucket}/{names.folder}{ASYNC}answers/"


def failures(names: Names, serving: Async) -> str:
    """Where it puts what it says of failures (s3://.../)."""
    return f"{answers(names, serving).rstrip('/')}/failures/"


def config(names: Names) -> dict[str, Any]:
    """What CreateEndpointConfig says of it; nothing in another mode."""
    serving = names.settings.serving
    if not isinstance(serving, Async):
        return {}
    places = (answers(names, serving), failures(names, serving))
    output: dict[str, Any] = dict(zip(("S3OutputPath", "S3FailurePath"), places, strict=True))
    topics = {"SuccessTopic": serving.success_topic, "ErrorTopic": serving.error_topic}
    if told := {key: topic for key, topic in topics.items() if topic}:
        output["NotificationConfig"] = told
    if names.settings.kms_key:
        output["KmsKeyId"] = names.settings.kms_key
    client = {"MaxConcurrentInvocationsPerInstance": serving.concurrency}
    return {"AsyncInferenceConfig": {"ClientConfig": client, "OutputConfig": output}}


def rights(names: Names) -> Iterator[tuple[list[str], str, str]]:
    """What the role needs for it: resources, their service and actions."""
    serving = names.settings.serving
    if not isinstance(serving, Async):
        return
    yield [_objects(names, answers(names, serving))], "s3", "PutObject"
    if serving.inputs:
        yield [_objects(names, place) for place in serving.inputs], "s3", "GetObject"
    if topics := [topic for topic in (serving.success_topic, serving.error_topic) if topic]:
        yield list(dict.fromkeys(topics)), "sns", "Publish"


def notes(names: Names) -> Iterator[str]:
    """What is said of it in a plan."""
    serving = names.settings.serving
    if not isinstance(serving, Async):
        return
    where = f"{answers(names, serving)}, failures into {failures(names, serving)}"
    yield f"It answers later, into {where}."
    if names.settings.role:
        needed = "; ".join(
            f"{service}:{what} on {' '.join(at)}" for at, service, what in rights(names)
        )
        yield f"The role {names.settings.role} needs for that: {needed}."


def _objects(names: Names, place: str) -> str:
    """The ARN of all objects below a place; failures are below the answers."""
    return f"arn:{names.partition}:s3:::{place.removeprefix('s3://').rstrip('/')}/*"
