"""Sentence similarity on a tiny model of two dimensions: each similarity, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry import scoring
from tests import tiny

INPUTS = {"source_sentence": "good", "sentences": ["good", "day", "a good day"]}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.sentence_similarity(tmp_path_factory.mktemp("similar")))


def ask(scorer: scoring.Scorer, payload: Any, status: int = 200) -> Any:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == status, response.body
    return json.loads(response.body)


def test_a_score_for_each_sentence_in_its_order(scorer: scoring.Scorer) -> None:
    # means over [CLS] (1, 1), good (3, 0), day (0, 4), others 0
    good, day, both = np.array([4, 1]) / 3, np.array([1, 5]) / 3, np.array([4, 5]) / 5
    cosines = [
        float(good @ v / np.linalg.norm(good) / np.linalg.norm(v)) for v in (good, day, both)
    ]
    assert ask(scorer, {"inputs": INPUTS}) == pytest.approx(cosines)
    assert ask(scorer, {"inputs": [INPUTS, INPUTS]}) == [ask(scorer, {"inputs": INPUTS})] * 2


def test_a_score_does_not_depend_on_the_other_sentences(scorer: scoring.Scorer) -> None:
    together = ask(scorer, {"inputs": INPUTS})
    alone = [
        ask(scorer, {"inputs": {**INPUTS, "sentences": [sentence]}})[0]
        for sentence in INPUTS["sentences"]
    ]
    assert together == alone


def test_the_parameters_are_those_of_feature_extraction(scorer: scoring.Scorer) -> None:
    # the first token is [CLS] in every text
    payload = {"inputs": INPUTS, "parameters": {"pooling": "cls"}}
    assert ask(scorer, payload) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("dot", [17 / 9, 1, 21 / 15]),
        ("euclidean", [0, -5 / 3, -math.hypot(8 / 15, 2 / 3)]),
        ("manhattan", [0, -7 / 3, -(8 / 15 + 2 / 3)]),
    ],
)
def test_the_models_own_similarity(name: str, scores: list[float], tmp_path: Path) -> None:
    served = scoring.load(tiny.sentence_similarity(tmp_path, similarity=name))
    assert ask(served, {"inputs": INPUTS}) == pytest.approx(scores)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"inputs": {"source_sentence": "good"}}, "'inputs.sentences' is missing"),
        ({"inputs": {"sentences": ["good"]}}, "'inputs.source_sentence' is missing"),
        ({"inputs": "good"}, "'inputs' must be an object"),
        ({"inputs": {**INPUTS, "sentences": []}}, "'inputs.sentences' is an empty list"),
        ({"inputs": {**INPUTS, "sentences": ["a", ""]}}, "'inputs.sentences[1]' is empty"),
        ({"inputs": INPUTS, "parameters": {"pooling": "none"}}, "one vector a text: mean"),
        (
            {
                "inputs": [{**INPUTS, "source_sentence": "a " * 99}],
                "parameters": {"truncation": False},
            },
            "'inputs[0].source_sentence' has 101 tokens",
        ),
        (
            {
                "inputs": {**INPUTS, "sentences": ["a", "a " * 99]},
                "parameters": {"truncation": False},
            },
            "'inputs.sentences[1]' has 101 tokens",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    scorer: scoring.Scorer, payload: Any, message: str
) -> None:
    assert message in ask(scorer, payload, 400)["error"]["message"]


def test_an_unknown_similarity_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(scoring.ScoringError, match=r"settings.similarity' must be one of cosine"):
        scoring.load(tiny.sentence_similarity(tmp_path, similarity="angle"))
