"""The answers of transformers' own pipeline, compared with those that are served. So not only the
graph is verified, but all that happens around it, from the text to the answer. Tasks without a row
in RECIPES are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scoring.tasks import build
from onnxferry.scoring.tasks.text_classification import default_function
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.metrics.agreement import AGREE, masks
from onnxferry.scripts.prepare.sources.source import AskPipeline
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification.comparison import DifferenceBounds
from onnxferry.system.errors import PrepareError

Scores: TypeAlias = Mapping[Any, float]


@dataclass(frozen=True)
class PipelineRecipe:
    """`scores`: an answer's scores by what they belong to. `settings`: the parameters that the
    model's settings give, which a pipeline does not know. Both are asked with the parameters
    `both`, and the pipeline also with `theirs`."""

    scores: Callable[[Any], Scores]
    settings: Callable[[ModelSpec], Mapping[str, Any]]
    both: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)


def _named(*names: str) -> Callable[[ModelSpec], Mapping[str, Any]]:
    return lambda spec: {name: spec.settings[name] for name in names if name in spec.settings}


def _function(spec: ModelSpec) -> Mapping[str, Any]:
    name = default_function(spec.settings.get("problem_type"), len(spec.labels))
    return {"function_to_apply": name}


def _entity_scores(answer: Any) -> Scores:
    kinds = (e.get("entity", e.get("entity_group")) for e in answer)
    return {(k, e["start"], e["end"]): e["score"] for k, e in zip(kinds, answer, strict=True)}


def _ranked_scores(answer: Any) -> Scores:
    """By rank, since tokens of nearly one score may change places."""
    rankings = enumerate(masks(answer))
    return {(m, i): row["score"] for m, rows in rankings for i, row in enumerate(rows)}


RECIPES = {
    "text-classification": PipelineRecipe(
        lambda answer: {row["label"]: row["score"] for row in answer},
        _function,
        {"top_k": None},
        {"truncation": True},
    ),
    "token-classification": PipelineRecipe(
        _entity_scores, _named("aggregation_strategy", "ignore_labels")
    ),
    "zero-shot-classification": PipelineRecipe(
        lambda answer: dict(zip(answer["labels"], answer["scores"], strict=True)),
        _named("candidate_labels", "hypothesis_template", "multi_label"),
    ),
    "fill-mask": PipelineRecipe(
        _ranked_scores, _named("top_k"), theirs={"tokenizer_kwargs": {"truncation": True}}
    ),
}


class PipelineReference:
    """transformers' pipeline over the source model, asked each question once: all variants are
    compared with the same answers."""

    def __init__(self, ask: AskPipeline) -> None:
        self._ask = ask
        self._known: dict[str, Any] = {}

    def compare(
        self, spec: ModelSpec, folder: Path, samples: Sequence[Sample], bounds: DifferenceBounds
    ) -> dict[str, Any]:
        """How far the answers that the model directory `folder` serves are from the pipeline's, as
        it goes into the spec. Raises PrepareError with the figures where they break `bounds`."""
        scorer = Scorer(spec, build(spec, Session(folder / MODEL_FILE), folder))
        compared = [
            (sample, *self._difference(scorer, sample, body))
            for sample in samples
            if (body := _body(sample)) is not None
        ]
        if not compared:
            return {"inputs": 0}
        figures = {
            "inputs": len(compared),
            "max_abs": max(worst for _, worst, _ in compared),
            "agreement": sum(agrees for _, _, agrees in compared) / len(compared),
        }
        worst, _, _ = max(compared, key=lambda found: (not found[2], found[1]))
        summary = (
            f"on {len(compared)} inputs: maximum difference of a score {figures['max_abs']:.3g},"
            f" {figures['agreement']:.1%} of the answers the same; worst input: {worst.where}"
        )
        pipeline = f"transformers' {spec.task} pipeline"
        bounds.require(figures, "what is served", pipeline, summary)
        return figures

    def _difference(
        self, scorer: Scorer, sample: Sample, body: Mapping[str, Any]
    ) -> tuple[float, bool]:
        """The largest difference of a score that both answers have, and whether they agree."""
        spec, recipe = scorer.spec, RECIPES[scorer.spec.task]
        inputs = body["inputs"]
        parameters = {**recipe.settings(spec), **(body.get("parameters") or {}), **recipe.both}
        ours = _serve(scorer, sample, {"inputs": inputs, "parameters": parameters})
        try:
            theirs = self._answer(inputs, {**recipe.theirs, **parameters})
        except Exception as e:  # whatever a pipeline raises of what it does not take
            what = f"transformers' {spec.task} pipeline cannot answer it: {type(e).__name__}"
            raise PrepareError(f"{sample.where}: {what}: {e}") from e
        a, b = recipe.scores(theirs), recipe.scores(ours)
        worst = max((abs(float(a[key]) - b[key]) for key in set(a) & set(b)), default=0.0)
        return worst, AGREE[spec.task](theirs, ours, len(spec.labels))

    def _answer(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        key = json.dumps([inputs, parameters], sort_keys=True)
        if key not in self._known:
            self._known[key] = self._ask(inputs, parameters)
        return self._known[key]


def _body(sample: Sample) -> Mapping[str, Any] | None:
    """The body of a request that a pipeline can be asked, too; None for the forms that only clients
    of servers know."""
    body = json.loads(sample.request.body) if sample.request.content_type == JSON else {}
    alike = set(body) <= {"inputs", "parameters"} and isinstance(body.get("inputs"), str | dict)
    return body if alike else None


def _serve(scorer: Scorer, sample: Sample, body: Any) -> Any:
    response = scorer.handle(Request(json.dumps(body).encode()))
    if response.status != 200:
        raise PrepareError(f"{sample.where}: status {response.status}: {response.body.decode()}")
    return json.loads(response.body)
