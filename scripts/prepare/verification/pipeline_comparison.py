"""The answers of transformers' own pipeline against those that are served: so all from text to
answer is verified, not only the graph. Only for tasks in RECIPES."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from onnxferry.scoring import Request
from onnxferry.scoring.labels import default_function
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.metrics.agreement import AGREE, masks
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification.comparison import DifferenceBounds
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.scripts.prepare.verification.reference import ScoredModel
from onnxferry.system import console
from onnxferry.system.errors import PrepareError

Scores: TypeAlias = Mapping[Any, float]


@dataclass(frozen=True)
class PipelineRecipe:
    """`scores`: an answer's scores by what they belong to. `settings`: parameters that a pipeline
    does not know. Both are asked with `both`, and the pipeline also with `theirs`, by `question`,
    which makes its inputs of ours; `read` makes our answer of its. `instead`: what is asked where
    there is no such pipeline."""

    scores: Callable[[Any], Scores]
    settings: Callable[[ModelSpec], Mapping[str, Any]]
    both: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    question: Callable[[Any], Any] = lambda inputs: inputs
    read: Callable[[Any], Any] = lambda answer: answer
    instead: str = ""


def _named(*names: str) -> Callable[[ModelSpec], Mapping[str, Any]]:
    return lambda spec: {name: spec.settings[name] for name in names if name in spec.settings}


def _function(spec: ModelSpec) -> Mapping[str, Any]:
    name = default_function(spec.settings.get("problem_type"), len(spec.labels))
    return {"function_to_apply": name}


def _label_scores(answer: Any) -> Scores:
    return {row["label"]: row["score"] for row in answer}


def _entity_scores(answer: Any) -> Scores:
    kinds = (e.get("entity", e.get("entity_group")) for e in answer)
    return {(k, e["start"], e["end"]): e["score"] for k, e in zip(kinds, answer, strict=True)}


def _candidate_scores(answer: Any) -> Scores:
    return dict(zip(answer["labels"], answer["scores"], strict=True))


def _ranked_scores(answer: Any) -> Scores:
    """By rank: tokens of nearly one score may change places."""
    rankings = enumerate(masks(answer))
    return {(m, i): row["score"] for m, rows in rankings for i, row in enumerate(rows)}


def _every_label(spec: ModelSpec) -> Mapping[str, Any]:
    return {**_function(spec), "top_k": len(spec.labels)}


def _by_place(answer: Any) -> Scores:
    return {i: row["score"] for i, row in enumerate(answer)}


def _numbers(answer: Any) -> Scores:
    return dict(enumerate(np.ravel(answer).tolist()))


def _span_score(answer: Any) -> Scores:
    return {"": answer["score"]}


def _answer_length(spec: ModelSpec) -> Mapping[str, Any]:
    names = {"max_answer_len": "max_answer_length", "max_seq_len": "max_seq_len"}
    return {name: spec.settings[key] for name, key in names.items() if key in spec.settings}


def _pairs(inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"text": inputs["query"], "text_pair": text} for text in inputs["documents"]]


def _ranking(answer: Any) -> Any:
    """Of the first label of each document."""
    found = [{"index": i, "score": row["score"]} for i, row in enumerate(answer)]
    return sorted(found, key=lambda entry: -entry["score"])


def _document_scores(answer: Any) -> Scores:
    return {entry["index"]: entry["score"] for entry in answer}


_SPANS = "the source model's likeliest span"
_VECTORS = "sentence-transformers, or its recipe in PyTorch"
_ENTITIES = _named("aggregation_strategy", "ignore_labels")
_CANDIDATES = _named("candidate_labels", "hypothesis_template", "multi_label")
_CUT = {"truncation": True}
_LIKELIEST = {
    **{"score": "logit_sum", "align_to_words": False},
    **{"top_k": 1, "handle_impossible_answer": False},
}
RECIPES = {
    "question-answering": PipelineRecipe(_span_score, _answer_length, _LIKELIEST, instead=_SPANS),
    "text-classification": PipelineRecipe(_label_scores, _function, {"top_k": None}, _CUT),
    "token-classification": PipelineRecipe(_entity_scores, _ENTITIES),
    "zero-shot-classification": PipelineRecipe(_candidate_scores, _CANDIDATES),
    "image-classification": PipelineRecipe(_label_scores, _every_label),
    "image-feature-extraction": PipelineRecipe(_numbers, lambda spec: {}, {"pool": False}),
    "object-detection": PipelineRecipe(_by_place, lambda spec: {}, {"threshold": 0.0}),
    "text-ranking": PipelineRecipe(
        _document_scores, _named("function_to_apply"), theirs=_CUT, question=_pairs, read=_ranking
    ),
    "feature-extraction": PipelineRecipe(_numbers, lambda spec: {}, instead=_VECTORS),
    "sentence-similarity": PipelineRecipe(_numbers, lambda spec: {}, instead=_VECTORS),
    "fill-mask": PipelineRecipe(_ranked_scores, _named("top_k"), theirs={"tokenizer_kwargs": _CUT}),
}


def reference(task: str) -> str:
    """What the answers of one of RECIPES are compared with."""
    return RECIPES[task].instead or "transformers' pipeline"


def _in_full(task: str) -> str:
    return RECIPES[task].instead or f"transformers' {task} pipeline"


class PipelineReference:
    """transformers' pipeline over the source model, asked each question once. `known`: its answers
    by the question, those of an earlier run included."""

    def __init__(self, source: ModelSource, known: dict[str, Any] | None = None) -> None:
        self._ask = source.pipeline() if source.pipeline and source.task in RECIPES else None
        self._there = self._ask is not None
        self._known = {} if known is None else known

    def let_go(self) -> None:
        """Drop the source model; from here on only what was asked is known."""
        self._ask = None

    def compare(
        self, spec: ModelSpec, graph: GraphRun, samples: Sequence[Sample], bounds: DifferenceBounds
    ) -> dict[str, Any]:
        """How far the `graph` is from the pipeline, or {}. Raises PrepareError where `bounds` are
        broken."""
        if not self._there:
            return {}
        with console.stage(f"compare with {reference(spec.task)}"):
            model = ScoredModel.of_graph(spec, graph)
            bodies = ((sample, _body(sample)) for sample in samples)
            asked = [(sample, body) for sample, body in bodies if body is not None]
            found = [(self._difference(model, spec, *pair), pair[0].where) for pair in asked]
            graph.let_go()
            compared = [(*difference, where) for difference, where in found if difference]
            return _figures(compared, bounds, spec.task) if compared else {"inputs": 0}

    def _difference(
        self, model: ScoredModel, spec: ModelSpec, sample: Sample, body: Mapping[str, Any]
    ) -> tuple[float, bool] | None:
        """The largest difference of a score in both answers, and whether they agree; None where the
        source model is not asked such inputs."""
        recipe, inputs = RECIPES[spec.task], body["inputs"]
        parameters = {**recipe.settings(spec), **(body.get("parameters") or {}), **recipe.both}
        try:
            asked = recipe.question(inputs)
            theirs = recipe.read(self._answer(asked, {**recipe.theirs, **parameters}))
        except Exception as e:  # whatever a pipeline raises of what it does not take
            what = f"{_in_full(spec.task)} cannot answer it: {type(e).__name__}"
            raise PrepareError(f"{sample.where}: {what}: {e}") from e
        if theirs is None:
            return None
        request = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
        ours = model.answer(Request(request), sample.where)
        a, b = recipe.scores(theirs), recipe.scores(ours)
        worst = max((abs(float(a[key]) - b[key]) for key in set(a) & set(b)), default=0.0)
        return worst, AGREE[spec.task](theirs, ours, len(spec.labels))

    def _answer(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        key = json.dumps([inputs, parameters], sort_keys=True)
        if key not in self._known:
            if self._ask is None:
                raise RuntimeError("the source model was let go before it was asked this")
            self._known[key] = self._ask(inputs, parameters)
        return self._known[key]


def _figures(
    compared: Sequence[tuple[float, bool, str]], bounds: DifferenceBounds, task: str
) -> dict[str, Any]:
    """Of (largest difference, whether the answers agree, where)."""
    far = max(worst for worst, _, _ in compared)
    same = sum(agrees for _, agrees, _ in compared) / len(compared)
    figures = {"inputs": len(compared), "max_abs": far, "agreement": same}
    if broken := bounds.broken(figures):
        where = max(compared, key=lambda found: (not found[1], found[0]))[2]
        other = f"is not what {_in_full(task)} answers"
        raise PrepareError(f"what is served {other}: {broken}; worst input: {where}")
    return figures


def _body(sample: Sample) -> Mapping[str, Any] | None:
    """The body of a request that a pipeline can be asked; None for other forms."""
    if sample.request.content_type.startswith("image/"):
        return {"inputs": base64.b64encode(sample.request.body).decode()}
    body = json.loads(sample.request.body) if sample.request.content_type == JSON else {}
    alike = set(body) <= {"inputs", "parameters"} and isinstance(body.get("inputs"), str | dict)
    return body if alike else None
