"""Question answering on a tiny graph whose answer the test decides; its span method against a search through all."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scoring
from scoring.spans import Window, best_spans, count_windows, windows
from scoring.tokenization import Tokenizer, Tokens
from tests import tiny


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.question_answering(tmp_path_factory.mktemp("qa")))


def ask(scorer: scoring.Scorer, payload: Any) -> Any:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    return json.loads(response.body)


def test_the_answer_is_cut_from_the_context_as_it_stands_there(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, {"inputs": tiny.QUESTION})
    assert (answer["answer"], answer["start"], answer["end"]) == ("Rebecca", 6, 13)


def test_the_tutorials_shorthand_gets_the_same_answer(scorer: scoring.Scorer) -> None:
    assert ask(scorer, tiny.QUESTION) == ask(scorer, {"inputs": tiny.QUESTION})


def test_a_list_is_answered_by_a_list_in_its_order(scorer: scoring.Scorer) -> None:
    other = {"question": "When was she born", "context": "it was in 1946"}
    answers = ask(scorer, {"inputs": [tiny.QUESTION, other, tiny.QUESTION]})
    assert [a["answer"] for a in answers] == ["Rebecca", "1946", "Rebecca"]
    assert ask(scorer, {"inputs": [other]})[0]["answer"] == "1946"


def test_offsets_count_code_points_also_outside_the_bmp(scorer: scoring.Scorer) -> None:
    context = "😀 naïve 😀 Rebecca 😀"
    answer = ask(scorer, {"inputs": {"question": "Who", "context": context}})
    assert context[answer["start"] : answer["end"]] == answer["answer"] == "Rebecca"


def test_an_answer_beyond_the_models_length_is_found_through_windows(scorer: scoring.Scorer) -> None:
    context = "It was a very good day. " * 40 + "Dolly Rebecca Parton sings. " + "It was not a bad day. " * 40
    answer = ask(scorer, {"inputs": {"question": "What is the middle name", "context": context}})
    assert answer["answer"] == "Rebecca"
    assert context[answer["start"] : answer["end"]] == "Rebecca"


def test_the_question_never_is_the_answer(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, {"inputs": {"question": "Who is Rebecca Rebecca", "context": "She was born in 1946"}})
    assert answer["answer"] == "1946"


def test_top_k_gives_a_list_best_first(scorer: scoring.Scorer) -> None:
    answers = ask(scorer, {"inputs": tiny.QUESTION, "parameters": {"top_k": 3}})
    assert [a["answer"] for a in answers][:2] == ["Rebecca", "Rebecca Parton"]
    assert answers[0]["score"] >= answers[1]["score"] >= answers[2]["score"]


def test_max_answer_len_bounds_the_span(scorer: scoring.Scorer) -> None:
    answers = ask(scorer, {"inputs": tiny.QUESTION, "parameters": {"top_k": 20, "max_answer_len": 1}})
    assert all(" " not in a["answer"] for a in answers)


def test_no_answer_can_win(scorer: scoring.Scorer) -> None:
    flat = {"question": "Who", "context": "bad bad bad bad bad bad bad bad"}
    answer = ask(scorer, {"inputs": flat, "parameters": {"handle_impossible_answer": True, "top_k": 99}})
    assert {"score": pytest.approx(1 / 81), "start": 0, "end": 0, "answer": ""} in answer


@pytest.mark.parametrize(
    ("payload", "code", "names"),
    [
        ({}, "missing_field", "'inputs'"),
        ({"inputs": []}, "invalid_value", "'inputs'"),
        ({"inputs": "Who?"}, "invalid_type", "'inputs'"),
        ({"inputs": {"question": "Who"}}, "missing_field", "'inputs.context'"),
        ({"question": "Who"}, "missing_field", "'context'"),
        ({"inputs": {"question": "Who", "context": ""}}, "invalid_value", "'inputs.context'"),
        ({"inputs": {"question": "Who", "context": " \n"}}, "invalid_value", "'inputs.context'"),
        ({"inputs": {"question": 3, "context": "x"}}, "invalid_type", "'inputs.question'"),
        ({"inputs": [tiny.QUESTION, {"question": "Who", "context": None}]}, "invalid_type", "'inputs[1].context'"),
        ({"inputs": {"question": "who " * 13, "context": "x"}}, "invalid_value", "'inputs.question' has 13 tokens"),
        ({"inputs": {"question": "Who", "context": "\ud800"}}, "invalid_value", "'inputs.context'"),
        ({"inputs": tiny.QUESTION, "parameters": {"topk": 1}}, "invalid_value", "'topk'; known: align_to_words"),
        ({"inputs": tiny.QUESTION, "parameters": {"top_k": 0}}, "invalid_value", "'parameters.top_k'"),
        ({"inputs": tiny.QUESTION, "parameters": {"top_k": True}}, "invalid_type", "'parameters.top_k'"),
        ({"inputs": tiny.QUESTION, "parameters": {"doc_stride": 999}}, "invalid_value", "'parameters.doc_stride'"),
        ({"inputs": tiny.QUESTION, "parameters": [1]}, "invalid_type", "'parameters'"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(scorer: scoring.Scorer, payload: Any, code: str, names: str) -> None:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (400, code)
    assert names in error["message"]


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        ({"inputs": tiny.QUESTION, "parameters": {"top_k": 10_001}}, "'parameters.top_k' 10001 ask for more than"),
        ({"inputs": [tiny.QUESTION] * 2, "parameters": {"top_k": 5001}}, "2 question(s)"),
        (
            {"inputs": {"question": "who", "context": "day " * 9000}, "parameters": {"doc_stride": 27}},
            "8973 windows of 32 tokens, and one request gets at most 8192",
        ),
    ],
)
def test_what_would_fill_the_memory_is_refused(scorer: scoring.Scorer, payload: Any, names: str) -> None:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (413, "too_large")
    assert names in error["message"]


def test_windows_cover_every_context_token_and_overlap_by_the_stride(tmp_path: Path) -> None:
    tiny.tokenizer().save(str(tmp_path / "tokenizer.json"))
    pair = Tokenizer(tmp_path / "tokenizer.json").encode_pair("who is she", "good day " * 25)
    cut = list(windows(pair, max_length=20, stride=4))
    covered = [range(w.first + w.shift, w.stop + w.shift) for w in cut]
    assert set(itertools.chain(*covered)) == set(range(*pair.second))
    assert all(len(w.tokens) <= 20 for w in cut)
    assert count_windows(pair, max_length=20, stride=4) == len(cut)
    assert count_windows(pair, max_length=200, stride=4) == len(list(windows(pair, max_length=200, stride=4))) == 1
    assert [a.stop - b.start for a, b in itertools.pairwise(covered)] == [4] * (len(cut) - 1)
    for window in cut:
        own = window.tokens.ids[window.first : window.stop]
        np.testing.assert_array_equal(own, pair.tokens.ids[window.first + window.shift : window.stop + window.shift])


@pytest.mark.parametrize("seed", range(20))
def test_best_spans_are_those_of_a_search_through_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length, first, stop, most = 24, 7, 23, 6
    start, end = rng.normal(size=(2, length)).astype(np.float32) * 3
    window = Window(Tokens(np.zeros(length, np.int64), np.zeros(length, np.int64)), first, stop, shift=100)
    allowed = [0, *range(first, stop)]
    p, q = (np.exp(v - v[allowed].max()) / np.exp(v[allowed] - v[allowed].max()).sum() for v in (start, end))
    every = [(p[s] * q[e], s + 100, e + 100) for s in range(first, stop) for e in range(s, min(s + most, stop))]
    spans, none = best_spans((start, end), window, 5, most)
    for span, (score, s, e) in zip(spans, sorted(every, reverse=True)[:5], strict=True):
        assert (span.first, span.last) == (s, e)
        assert span.score == pytest.approx(score, rel=1e-4)
    assert none == pytest.approx(p[0] * q[0], rel=1e-4)


def test_a_model_sure_of_no_answer_still_gives_its_best_span() -> None:
    """Every span's probability underflows to 0 here; the best must still be a span that can be."""
    length, first, stop = 12, 4, 11
    logits = np.full(length, -1000, np.float32)
    logits[0] = 1000
    window = Window(Tokens(np.zeros(length, np.int64), np.zeros(length, np.int64)), first, stop, shift=0)
    spans, none = best_spans((logits, logits), window, 3, 5)
    assert len(spans) == 3
    assert all(first <= s.first <= s.last < min(stop, s.first + 5) for s in spans)
    assert none == pytest.approx(1)
