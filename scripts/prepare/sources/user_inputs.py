"""The requests that are compared: built in, --inputs (JSON Lines or pictures), and --golden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scoring import Request
from onnxferry.scoring.manifest import GOLDENS
from onnxferry.scripts.datasets.built_in import BUILT_IN, MASK
from onnxferry.scripts.prepare.sources.sample_image import sample_bodies
from onnxferry.scripts.request_file import MEDIA_TYPES, read_request
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import parse_json, read_text

LIST_IS_ONE_ITEM = ("tensors",)  # tasks where a list of inputs is one item
GOLDEN_BYTES = 1_000_000  # of all golden requests, and of their answers: every package carries them


@dataclass(frozen=True)
class Sample:
    """One request with one item, and where it comes from, for messages."""

    request: Request
    where: str


def read_inputs(path: Path | None, task: str) -> list[Sample]:
    """The user's samples; none without `path`."""
    if path is None:
        return []
    found = list(_pictures(path) if path.is_dir() else read_lines(path, task))
    if not found:
        expected = "expected JSON Lines of request bodies, or pictures in a folder"
        raise UsageError(f"--inputs {path}: holds no input; {expected}")
    return found


def read_golden(path: Path) -> list[Sample]:
    """The user's golden requests: one file, or those of a folder in the order of their names.
    Raises UsageError for none, more than GOLDENS, or more than GOLDEN_BYTES."""
    files = sorted(path.glob("[!.]*")) if path.is_dir() else [path]
    count = f"--golden {path}: {len(files)} files; a golden folder holds 1 to {GOLDENS} requests"
    if not 1 <= len(files) <= GOLDENS:
        raise UsageError(f"{count}, each a .json body, a picture or a .npy array")
    found = [Sample(read_request(file, "--golden "), file.name) for file in files]
    if (size := sum(len(sample.request.body) for sample in found)) > GOLDEN_BYTES:
        most = f"at most {GOLDEN_BYTES:,} are allowed, for every package carries them"
        raise UsageError(f"--golden {path}: {size:,} bytes; {most}: give fewer or smaller requests")
    return found


def read_lines(path: Path, task: str) -> Iterator[Sample]:
    """The samples of a file of JSON Lines."""
    for number, line in enumerate(read_text(path, "--inputs ").split("\n"), 1):
        if line.strip():
            yield from _items(line, f"{path.name} line {number}", task)


def _items(line: str, where: str, task: str) -> Iterator[Sample]:
    """One for each item of a request, so that answers are compared one by one."""
    data = parse_json(line, f"--inputs: {where}")
    if not isinstance(data, dict):
        expected = 'must be a request body such as {"inputs": ...}'
        raise UsageError(f"--inputs: {where} {expected}, got {line[:40]!r}")
    if not isinstance(data.get("inputs"), list) or task in LIST_IS_ONE_ITEM:
        yield Sample(Request(line.encode()), where)
        return
    for i, item in enumerate(data["inputs"]):
        yield Sample(Request(json.dumps({**data, "inputs": item}).encode()), f"{where} inputs[{i}]")


def samples(task: str, own: Path | None, mask_token: str = MASK) -> list[Sample]:
    """The built-in samples of `task`, with `mask_token` in them, then the user's `own`."""
    path, token = BUILT_IN / f"{task}.jsonl", json.dumps(mask_token)[1:-1].encode()
    built_in = read_lines(path, task) if path.is_file() else ()
    bodies = [(s.request.body.replace(MASK.encode(), token), s.where) for s in built_in]
    bodies += [(body, "a generated picture") for body in sample_bodies(task)]
    return [*(Sample(Request(body), where) for body, where in bodies), *read_inputs(own, task)]


def _pictures(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.iterdir()):
        if MEDIA_TYPES.get(path.suffix.lower(), "").startswith("image/"):
            yield Sample(read_request(path, "--inputs "), path.name)
