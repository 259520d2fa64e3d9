"""Data capture: SageMaker puts a part of the requests and the answers into S3, below
DESTINATION/ENDPOINT/VARIANT/YYYY/MM/DD/HH/, as the execution role. They are the user's: nothing
here deletes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxferry.infra.sagemaker.names import Names
from onnxferry.scoring.codecs import CSV
from onnxferry.scoring.wire import JSON


def destination(names: Names) -> str:
    """Where captured data is put (s3://BUCKET/PREFIX, without a slash at its end). Beside the
    packages, not among them: a package's folder is the endpoint's alone."""
    given = names.settings.capture
    if given and given.output:
        return given.output.rstrip("/")
    folder = f"{names.settings.prefix}-captured/{names.account}-{names.region}"
    return f"s3://{names.bucket}/{folder}"


def capture_config(names: Names) -> dict[str, Any]:
    """What CreateEndpointConfig says of it; nothing where nothing is captured. All but JSON and CSV
    is in base64."""
    given = names.settings.capture
    if given is None:
        return {}
    modes = ("Output",) if given.redact else ("Input", "Output")
    key = {"KmsKeyId": names.settings.kms_key} if names.settings.kms_key else {}
    config = {
        "EnableCapture": True,
        "InitialSamplingPercentage": given.percent,
        "DestinationS3Uri": destination(names),
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        "CaptureContentTypeHeader": {"CsvContentTypes": [CSV], "JsonContentTypes": [JSON]},
        **key,
    }
    return {"DataCaptureConfig": config}


def write_place(names: Names) -> str:
    """The objects that the role must be allowed to put, as an ARN; "" where nothing is captured."""
    if names.settings.capture is None:
        return ""
    return f"arn:{names.partition}:s3:::{destination(names).removeprefix('s3://')}/*"


def notes(names: Names) -> Iterator[str]:
    """What is said of it in a plan."""
    given = names.settings.capture
    if given is None:
        return
    where, part = f"{destination(names)}/{names.endpoint}/", f"{given.percent} % of the requests"
    advice = "sagemaker.capture.redact = true keeps the answers alone"
    if given.redact:
        yield f"The answers to {part}, without the requests, are kept as they are in {where}."
    else:
        yield f"{part} and their answers are kept as they are in {where} ({advice})."
    if names.settings.role:
        yield (
            f"The role {names.settings.role} needs s3:PutObject on {write_place(names)}: SageMaker"
            " puts what is captured there with it."
        )


def kept(where: str, names: Names) -> tuple[str, ...]:
    """What is said of captured data at `where` when the endpoint is deleted."""
    if not where:
        return ()
    folder, candidate = f"{where}/{names.endpoint}/", f"{where}/{names.candidate}/"
    remove = f"aws s3 rm --recursive {folder}, and the same with {candidate}"
    return (f"What was captured in {folder} stays: it is yours (to delete it: {remove}).",)
