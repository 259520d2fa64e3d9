"""The real inputs on which the ONNX model is compared with its source: a built-in set a task, and
the user's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scoring import Request
from onnxferry.scripts.datasets.built_in import BUILT_IN, MASK
from onnxferry.scripts.request_file import MEDIA_TYPES, read_request
from onnxferry.system.errors import UsageError

_WHOLE = ("tensors",)  # tasks where a list of inputs is one item


@dataclass(frozen=True)
class Sample:
    """One request, and where it comes from, for messages."""

    request: Request
    where: str


def samples(task: str, own: Path | None, mask_token: str = MASK) -> list[Sample]:
    """The built-in samples of `task`, then the user's: JSON Lines of request bodies, or a folder of
    pictures. The built-in ones hold the model's `mask_token`."""
    built_in = BUILT_IN / f"{task}.jsonl"
    found = [_masked(s, mask_token) for s in _lines(built_in, task)] if built_in.is_file() else []
    if own is None:
        return found
    theirs = list(_pictures(own) if own.is_dir() else _lines(own, task))
    if not theirs:
        raise UsageError(
            f"--inputs {own}: holds no input; expected JSON Lines of request bodies, or pictures in"
            " a folder"
        )
    return found + theirs


def _masked(sample: Sample, mask_token: str) -> Sample:
    spelt = json.dumps(mask_token)[1:-1].encode()
    return Sample(Request(sample.request.body.replace(MASK.encode(), spelt)), sample.where)


def _lines(path: Path, task: str) -> Iterator[Sample]:
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if line.strip():
            yield from _items(line, f"{path.name} line {number}", task)


def _items(line: bytes, where: str, task: str) -> Iterator[Sample]:
    """One sample for each item of a request's `inputs`, so that answers are compared one by one."""
    try:
        data = json.loads(line)
    except ValueError as e:
        raise UsageError(f"--inputs: {where} is not JSON ({e})") from e
    if not isinstance(data, dict):
        raise UsageError(
            f'--inputs: {where} must be a request body such as {{"inputs": ...}}, got {line[:40]!r}'
        )
    if not isinstance(data.get("inputs"), list) or task in _WHOLE:
        yield Sample(Request(line), where)
        return
    for i, item in enumerate(data["inputs"]):
        yield Sample(Request(json.dumps({**data, "inputs": item}).encode()), f"{where} inputs[{i}]")


def _pictures(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.iterdir()):
        if MEDIA_TYPES.get(path.suffix.lower(), "").startswith("image/"):
            yield Sample(read_request(path), path.name)
