"""The answers of transformers' own pipeline, held against those that are served: the proof that not
only the graph but all that happens around it, from the text to the answer, is right. Tasks without
a row in COMPARISONS are not compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scoring.tasks import build
from onnxferry.scoring.tasks.text_classification import default_function
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.metrics.agreement import AGREE, masks
from onnxferry.scripts.prepare.selection.criteria import Gate
from onnxferry.scripts.prepare.sources.source import Ask
from onnxferry.scripts.prepare.verification.samples import Sample
from onnxferry.system.errors import PrepareError

Scores = Mapping[Any, float]


@dataclass(frozen=True)
class Comparison:
    """`scores`: an answer's scores by what they belong to. `settings`: the parameters that a
    model's settings give, for a pipeline knows no such settings. `both` are asked with these
    parameters, and the pipeline also with `theirs`."""

    scores: Callable[[Any], Scores]
    settings: Callable[[ModelSpec], Mapping[str, Any]]
    both: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """One sample's two answers: the largest difference of a score that both have, and whether the
    answers agree."""

    sample: Sample
    worst: float
    agrees: bool


def _named(*names: str) -> Callable[[ModelSpec], Mapping[str, Any]]:
    return lambda spec: {name: spec.settings[name] for name in names if name in spec.settings}


def _function(spec: ModelSpec) -> Mapping[str, Any]:
    return {
        "function_to_apply": default_function(spec.settings.get("problem_type"), len(spec.labels))
    }


def _entity_scores(answer: Any) -> Scores:
    return {
        (e.get("entity", e.get("entity_group")), e["start"], e["end"]): e["score"] for e in answer
    }


COMPARISONS = {
    "text-classification": Comparison(
        lambda answer: {row["label"]: row["score"] for row in answer},
        _function,
        {"top_k": None},
        {"truncation": True},
    ),
    "token-classification": Comparison(
        _entity_scores, _named("aggregation_strategy", "ignore_labels")
    ),
    "zero-shot-classification": Comparison(
        lambda answer: dict(zip(answer["labels"], answer["scores"], strict=True)),
        _named("candidate_labels", "hypothesis_template", "multi_label"),
    ),
    "fill-mask": Comparison(  # by rank, since tokens of nearly one score may change places
        lambda answer: {
            (m, i): row["score"]
            for m, rows in enumerate(masks(answer))
            for i, row in enumerate(rows)
        },
        _named("top_k"),
        theirs={"tokenizer_kwargs": {"truncation": True}},
    ),
}


def compare(
    spec: ModelSpec, folder: Path, ask: Ask, samples: Sequence[Sample], gate: Gate
) -> dict[str, Any]:
    """How far the answers that `folder` serves are from the pipeline's, as it goes into the spec.

    Raises PrepareError with the figures when they do not pass `gate`.
    """
    scorer = Scorer(spec, build(spec, Session(folder / MODEL_FILE), folder))
    pairs = [
        _ask_both(scorer, ask, sample, data)
        for sample in samples
        if (data := _data(sample)) is not None
    ]
    if not pairs:
        return {"inputs": 0}
    figures = {
        "inputs": len(pairs),
        "max_abs": max(pair.worst for pair in pairs),
        "agreement": sum(pair.agrees for pair in pairs) / len(pairs),
    }
    _judge(figures, pairs, spec, gate)
    return figures


def remembered(ask: Ask) -> Ask:
    """`ask`, but each question once: the variants are all held against the same answers."""
    known: dict[str, Any] = {}

    def asked(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        key = json.dumps([inputs, dict(parameters)], sort_keys=True)
        if key not in known:
            known[key] = ask(inputs, parameters)
        return known[key]

    return asked


def _data(sample: Sample) -> Mapping[str, Any] | None:
    """The body of a request that a pipeline can be asked, too; None for the forms that only clients
    of servers know."""
    data = json.loads(sample.request.body) if sample.request.content_type == JSON else {}
    alike = set(data) <= {"inputs", "parameters"} and isinstance(data.get("inputs"), str | dict)
    return data if alike else None


def _ask_both(scorer: Scorer, ask: Ask, sample: Sample, data: Mapping[str, Any]) -> Pair:
    spec, how = scorer.spec, COMPARISONS[scorer.spec.task]
    given = {**how.settings(spec), **(data.get("parameters") or {}), **how.both}
    ours = _serve(scorer, sample, {"inputs": data["inputs"], "parameters": given})
    try:
        theirs = ask(data["inputs"], {**how.theirs, **given})
    except Exception as e:  # whatever a pipeline raises of what it does not take
        raise PrepareError(
            f"{sample.where}: transformers' {spec.task} pipeline cannot answer it:"
            f" {type(e).__name__}: {e}"
        ) from e
    scores = how.scores(theirs), how.scores(ours)
    worst = max(
        (abs(float(scores[0][key]) - scores[1][key]) for key in set(scores[0]) & set(scores[1])),
        default=0.0,
    )
    return Pair(sample, worst, AGREE[spec.task](theirs, ours, len(spec.labels)))


def _serve(scorer: Scorer, sample: Sample, body: Any) -> Any:
    response = scorer.handle(Request(json.dumps(body).encode()))
    if response.status != 200:
        raise PrepareError(f"{sample.where}: status {response.status}: {response.body.decode()}")
    return json.loads(response.body)


def _judge(figures: Mapping[str, Any], pairs: Sequence[Pair], spec: ModelSpec, gate: Gate) -> None:
    worst = max(pairs, key=lambda pair: (not pair.agrees, pair.worst))
    summary = (
        f"on {figures['inputs']} inputs: maximum difference of a score {figures['max_abs']:.3g}, "
        f"{figures['agreement']:.1%} of the answers the same; worst input: {worst.sample.where}"
    )
    if gate.tolerance is not None and not figures["max_abs"] <= gate.tolerance:
        raise PrepareError(
            f"what is served differs from transformers' {spec.task} pipeline by more than"
            f" {gate.tolerance:g} (--tolerance), {summary}"
        )
    if not figures["agreement"] >= gate.min_agreement:
        raise PrepareError(
            f"fewer than {gate.min_agreement:.0%} of the answers are those of transformers'"
            f" {spec.task} pipeline (--min-agreement), {summary}"
        )
