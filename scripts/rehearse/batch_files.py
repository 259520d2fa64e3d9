"""Requests as the files of a batch job, and their answers as the rows that it gives for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from onnxferry.scoring import JSON, Request, codecs
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.hosts.azureml_batch import PARQUET, UNKNOWN, file_name
from onnxferry.scripts.rehearse.runtime import UnpackedPackage
from onnxferry.system.errors import UsageError

_JSONLINES = codecs.JSONLINES[0]


def request_file(spec: ModelSpec, request: Request) -> Request:
    """`request`, if its body can be a file of a batch job. Raises UsageError."""
    if file_name(request.content_type).endswith(UNKNOWN) or request.content_encoding:
        taken = "they read JSON, JSON Lines, CSV, Parquet and pictures, not compressed"
        raise UsageError(f"a body of {request.content_type} is no file of batch jobs; {taken}")
    return request


def golden_file(spec: ModelSpec, golden: Golden) -> Golden:
    """A golden request, and the others with it, each a file that is one row. Raises UsageError."""
    request = request_file(spec, golden.request)
    told = {"file": file_name(request.content_type), "row": 0, "answer": golden.answer}
    others = tuple(golden_file(spec, other) for other in golden.others)
    return replace(golden, answer={**told, "error": None}, others=others)


def prove_rows(host: Host, unpacked: UnpackedPackage) -> None:
    """Rows that cannot be read have an error in their place, and cost no other its answer; so do
    files. Raises RehearsalError."""
    spec = ModelSpec.read(unpacked.model)
    if spec.golden and spec.golden.request.content_type == JSON:
        line = json.dumps(json.loads(spec.golden.request.body)).encode()
        _prove(host, Request(b"\n".join((line, b"no JSON", line)), _JSONLINES), [0, 1, 2], [1])
    for content_type in (_JSONLINES, codecs.CSV, PARQUET, "application/x-unknown"):
        _prove(host, Request(b"", content_type), [None], [0])


def _prove(host: Host, request: Request, rows: Sequence[int | None], refused: list[int]) -> None:
    reply = host.send(request)
    found: list[dict[str, Any]] = [json.loads(line) for line in reply.body.splitlines()]
    errors = [i for i, row in enumerate(found) if row.get("error")]
    if [row.get("row") for row in found] != [*rows] or errors != refused:
        shown = reply.body[:2000].decode("utf-8", errors="replace")
        what = f"rows {[*rows]} of a file of {request.content_type}, errors in {refused}"
        raise host.failure(f"expected {what}, got: {shown}")
