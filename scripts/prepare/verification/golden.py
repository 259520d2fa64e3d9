"""The golden requests: what a deployment is asked before it takes traffic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry import scoring
from onnxferry.scoring import Request, Scorer, ScoringError
from onnxferry.scoring.graph_inputs import listed
from onnxferry.scoring.manifest import Golden, ModelSpec, Tensor
from onnxferry.scripts.datasets.built_in import MASK
from onnxferry.scripts.prepare.sources.sample_image import sample_bodies, sample_image
from onnxferry.scripts.prepare.sources.settings.image_settings import is_image_task
from onnxferry.scripts.prepare.sources.settings.labels import entailment
from onnxferry.scripts.prepare.sources.user_inputs import GOLDEN_BYTES, Sample, read_golden
from onnxferry.scripts.prepare.verification import asking, fitting, together
from onnxferry.system.errors import PrepareError

_REVIEW = "The new phone has a great camera, but its battery is empty by noon."
_BUILT_IN: dict[str, Any] = {
    "question-answering": {
        "question": "What is Dolly Parton's middle name?",
        "context": "Dolly Rebecca Parton is an American singer-songwriter",
    },
    "text-classification": "Thank you so much, this made my day!",
    "feature-extraction": "Good morning",
    "token-classification": "My name is Alex, I work for Maersk and I live in Copenhagen.",
    "zero-shot-classification": _REVIEW,
    "fill-mask": f"Paris is the {MASK} of France.",
    "text-ranking": {
        "query": "How is bread made?",
        "documents": [
            "The moon is full today.",
            "Knead flour, water and yeast, and bake the dough.",
        ],
    },
    "sentence-similarity": {
        "source_sentence": "That is a happy person.",
        "sentences": ["That person is glad.", "That is a happy dog.", "Today is a sunny day."],
    },
}
_ENTAILMENT = {
    "text": "A man is playing a guitar on the stage.",
    "text_pair": "Somebody is making music.",
}
_CANDIDATES = {"candidate_labels": ["technology", "cooking", "politics"]}


# where a short model has no room for the usual ones; the first that fits is taken
_SHORT: dict[str, Sequence[Any]] = {
    "question-answering": [
        {"question": "Who sang?", "context": "She did."},
        {"question": "a", "context": "b"},
    ],
    "fill-mask": [f"The {MASK}.", MASK],
    "zero-shot-classification": ["ok"],
}
_SHORT_CANDIDATES = {"candidate_labels": ["a", "b"], "hypothesis_template": "{}"}


def requests(spec: ModelSpec, own: Path | None, folder: Path) -> list[Sample]:
    """The user's golden requests in `own`, a file or a folder, else the first of the task's
    built-in ones that fits the model directory `folder`."""
    if own:
        return read_golden(own)
    usual, short = Sample(_built_in(spec), ""), [Sample(r, "") for r in _short(spec)]
    return [*fitting.accepted(spec, folder, [usual, *short]), usual][:1]


def pictures(spec: ModelSpec) -> list[Sample]:
    """Requests of a task that takes pictures, of several shapes; none for another task."""
    sizes = ((64, 64), (96, 48), (40, 56)) if "preprocess" in spec.settings else ()
    return [Sample(Request(sample_image(*size), "image/png"), "") for size in sizes]


def _short(spec: ModelSpec) -> list[Request]:
    zero_shot = spec.task == "zero-shot-classification"
    parameters = {"parameters": _SHORT_CANDIDATES} if zero_shot else {}
    bodies = [{"inputs": inputs, **parameters} for inputs in _SHORT.get(spec.task, ())]
    mask = json.dumps(spec.settings.get("mask_token", MASK))[1:-1]
    return [Request(json.dumps(body).replace(MASK, mask).encode()) for body in bodies]


def _built_in(spec: ModelSpec) -> Request:
    if is_image_task(spec.task):
        bodies = sample_bodies(spec.task)
        return Request(bodies[0]) if bodies else Request(sample_image(), "image/png")
    if spec.task == "tensors":
        return Request(json.dumps({"inputs": {t.name: _array(t) for t in spec.inputs}}).encode())
    pairs = spec.task == "text-classification" and entailment(spec.labels)
    inputs: Any = _ENTAILMENT if pairs else _BUILT_IN[spec.task]
    if "mask_token" in spec.settings:
        inputs = inputs.replace(MASK, spec.settings["mask_token"])
    zero_shot = spec.task == "zero-shot-classification"
    parameters = {"parameters": _CANDIDATES} if zero_shot else {}
    return Request(json.dumps({"inputs": inputs, **parameters}).encode())


def _array(tensor: Tensor) -> Any:
    """Floats from 0 towards 1, integers 1 (a token id, a mask that hides nothing), open sizes 1."""
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in tensor.shape]
    kind = np.dtype(tensor.dtype).kind
    if kind == "f":
        count = int(np.prod(shape, dtype=np.int64))
        ramp = np.arange(count) % 1000 / min(max(count, 1), 1000)
        return np.round(ramp, 3).reshape(shape).tolist()
    value: Any = {"b": True, "U": "a"}.get(kind, 1)
    return np.full(shape, value, object).tolist()


def answered(
    model_dir: Path,
    asked: Sequence[Sample],
    tolerance: float,
    cpu: str,
    samples: Mapping[Sample, fitting.Shape],
) -> Golden:
    """The requests with the answers of the model directory, given by a CPU of the kind `cpu`.
    Raises PrepareError where there is none, or all are too large for a package, or `samples` get
    other answers together than alone."""
    try:
        scorer = scoring.load(model_dir)
    except ScoringError as e:
        raise PrepareError(f"the model directory cannot be served: {e}") from e
    answers = [_answer(scorer, sample) for sample in asked]
    together.check(scorer, samples, tolerance)
    if (size := sum(map(len, answers))) > GOLDEN_BYTES:
        advice = f"at most {GOLDEN_BYTES:,} are allowed; give a smaller request with --golden FILE"
        raise PrepareError(f"the golden answer has {size:,} bytes; {advice}")
    first, *others = (
        Golden(sample.request, json.loads(answer), sample.where, tolerance, cpu)
        for sample, answer in zip(asked, answers, strict=True)
    )
    return replace(first, others=tuple(others))


def _answer(scorer: Scorer, sample: Sample) -> bytes:
    response, why = asking.ask(scorer, sample.request)
    if response.status == 200:
        return response.body
    said = f"the golden request {sample.where}".rstrip() + f" got status {response.status}: {why}"
    if response.status < 500:
        raise PrepareError(f"{said}. Give one that the model answers with --golden FILE")
    inputs, task = listed(scorer.spec.inputs), scorer.spec.task
    raise PrepareError(f"{said}. The graph takes {inputs}: is --task {task} right for it?")
