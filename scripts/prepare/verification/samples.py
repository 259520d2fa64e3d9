"""The inputs on which the ONNX model is compared with its source: those that are built in for a
task, and the user's own."""

from __future__ import annotations

import json
from pathlib import Path

from onnxferry.scoring import Request
from onnxferry.scripts.datasets.built_in import BUILT_IN, MASK
from onnxferry.scripts.prepare.sources.user_inputs import Sample, read_inputs, read_lines


def samples(task: str, own: Path | None, mask_token: str = MASK) -> list[Sample]:
    """The built-in samples of `task`, with the model's `mask_token` in them, then those of the
    user's file or folder `own`. Raises UsageError that names what is wrong with it."""
    path = BUILT_IN / f"{task}.jsonl"
    built_in = read_lines(path, task) if path.is_file() else ()
    return [*(_masked(sample, mask_token) for sample in built_in), *read_inputs(own, task)]


def _masked(sample: Sample, mask_token: str) -> Sample:
    token = json.dumps(mask_token)[1:-1].encode()
    return Sample(Request(sample.request.body.replace(MASK.encode(), token)), sample.where)
