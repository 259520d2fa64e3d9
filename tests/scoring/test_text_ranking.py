"""Text ranking on a tiny model whose words count for or against a pair: the three forms of request,
and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from tests import tiny

DOCUMENTS = ["bad", "a great day", "not good"]  # logits -2, 3.25, 2


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.text_ranking(tmp_path_factory.mktemp("ranker")))


def ask(scorer: scoring.Scorer, payload: Any, status: int = 200) -> Any:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == status, response.body
    return json.loads(response.body)


def refusal(scorer: scoring.Scorer, payload: Any, status: int = 400) -> str:
    return str(ask(scorer, payload, status)["error"]["message"])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_documents_come_best_first_with_scores_from_0_to_1(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, {"inputs": {"query": "what", "documents": DOCUMENTS}})
    assert [entry["index"] for entry in answer] == [1, 2, 0]
    expected = [sigmoid(3.25), sigmoid(2), sigmoid(-2)]
    assert [entry["score"] for entry in answer] == pytest.approx(expected)
    assert all(entry.keys() == {"index", "score"} for entry in answer)


def test_the_query_counts(scorer: scoring.Scorer) -> None:
    parameters = {"function_to_apply": "none"}
    payload = {"inputs": {"query": "good", "documents": ["bad"]}, "parameters": parameters}
    assert ask(scorer, payload) == [{"index": 0, "score": 0.0}]


def test_parameters_and_other_names_of_the_fields(scorer: scoring.Scorer) -> None:
    inputs = {"query": "what", "texts": DOCUMENTS}
    named = ({"top_k": 1, "return_documents": True}, {"top_n": 1, "return_text": True})
    for parameters in named:
        answer = ask(scorer, {"inputs": inputs, "parameters": parameters})
        assert [(e["index"], e["text"]) for e in answer] == [(1, "a great day")]


def test_a_list_of_queries_is_answered_by_a_list(scorer: scoring.Scorer) -> None:
    one = {"query": "what", "documents": DOCUMENTS}
    other = {"query": "bad", "documents": "a day"}
    first, second = ask(scorer, {"inputs": [one, other]})
    assert first == ask(scorer, {"inputs": one})
    assert second == [{"index": 0, "score": pytest.approx(sigmoid(-1.75))}]
    lines = b"\n".join(json.dumps(item).encode() for item in (one, other))
    response = scorer.handle(scoring.Request(lines, "application/jsonlines"))
    assert json.loads(response.body) == [first, second]


def test_the_form_of_text_embeddings_inference(scorer: scoring.Scorer) -> None:
    body = {"query": "what", "texts": DOCUMENTS}
    answer = ask(scorer, {**body, "truncate": False, "return_text": True})
    assert [(e["index"], e["text"]) for e in answer] == [(i, DOCUMENTS[i]) for i in (1, 2, 0)]
    assert answer[0]["score"] == pytest.approx(sigmoid(3.25))
    raw = ask(scorer, {**body, "raw_scores": True, "return_text": None})
    assert raw == [{"index": i, "score": s} for i, s in ((1, 3.25), (2, 2.0), (0, -2.0))]
    long = {"query": "what", "texts": ["good " * 20]}
    assert ask(scorer, long)[0]["index"] == 0
    assert "'texts[0]' has 24 tokens; without" in refusal(scorer, {**long, "truncate": False})


def test_the_form_of_cohere(scorer: scoring.Scorer) -> None:
    body = {"model": "rerank-v3.5", "query": "what", "top_n": 2}
    answer = ask(scorer, {**body, "documents": DOCUMENTS})
    assert [entry["index"] for entry in answer["results"]] == [1, 2]
    assert answer["results"][0]["relevance_score"] == pytest.approx(sigmoid(3.25))
    documents = [{"text": text} for text in DOCUMENTS]
    answer = ask(scorer, {**body, "documents": documents, "return_documents": True})
    assert answer["results"][0]["document"] == {"text": "a great day"}


def test_a_model_may_give_scores_of_any_size(tmp_path: Path) -> None:
    raw = scoring.load(tiny.text_ranking(tmp_path, function_to_apply="none"))
    inputs = {"query": "what", "documents": ["great"]}
    assert ask(raw, {"inputs": inputs}) == [{"index": 0, "score": 3.0}]
    served = ask(raw, {"query": "what", "texts": ["great"]})  # what their servers' clients expect
    assert served == [{"index": 0, "score": pytest.approx(sigmoid(3))}]


def test_documents_of_one_score_stay_in_their_order(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, {"inputs": {"query": "what", "documents": ["is", "great", "a", "the"]}})
    assert [entry["index"] for entry in answer] == [1, 0, 2, 3]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"query": "a"}, "'documents' is missing"),
        ({"inputs": {"documents": ["a"]}}, "'inputs.query' is missing"),
        ({"inputs": {"query": "a", "documents": []}}, "'inputs.documents' is an empty list"),
        ({"inputs": {"query": "a", "documents": ["a", 1]}}, "'inputs.documents[1]' must be a str"),
        ({"inputs": {"query": "a", "documents": ["a", " "]}}, "'inputs.documents[1]' is empty"),
        ({"inputs": "a"}, "'inputs' must be an object, got a string"),
        ({"query": "a", "texts": ["a"], "top_n": 1}, "unknown field(s) 'top_n' beside 'query'"),
        ({"query": "a", "documents": [{"title": "a"}]}, "'documents[0].text' is missing"),
        ({"query": "a", "documents": ["a"], "top_n": 0}, "'top_n' must be between 1"),
        ({"query": "a", "texts": ["a"], "truncation_direction": "Left"}, "must be one of right"),
        ({"inputs": {"query": "a", "documents": ["a"]}, "parameters": {"k": 1}}, "known: function"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    scorer: scoring.Scorer, payload: Any, message: str
) -> None:
    assert message in refusal(scorer, payload)


def test_too_many_pairs_are_refused_before_the_work(scorer: scoring.Scorer) -> None:
    many = {"query": "a", "documents": ["a"] * 1024}
    assert "9 queries have 9216 documents" in refusal(scorer, {"inputs": [many] * 9}, 413)


def test_a_graph_with_several_scores_is_refused(tmp_path: Path) -> None:
    tiny.text_ranking(tmp_path)
    tiny.pooled_graph(tmp_path / "model.onnx", {"good": (1, 2)}, 2)
    with pytest.raises(scoring.ScoringError, match="one score a pair, not 2"):
        scoring.load(tmp_path)
