"""Question answering on a tiny graph whose answer the test decides; its span method against a
search through all."""

from __future__ import annotations

import functools
import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.scoring.spans import best_spans
from onnxferry.scoring.tokenization import Tokenizer, Tokens
from onnxferry.scoring.windows import Window, count_windows, windows
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


def test_an_answer_beyond_the_models_length_is_found_through_windows(
    scorer: scoring.Scorer,
) -> None:
    context = (
        "It was a very good day. " * 40
        + "Dolly Rebecca Parton sings. "
        + "It was not a bad day. " * 40
    )
    answer = ask(scorer, {"inputs": {"question": "What is the middle name", "context": context}})
    assert answer["answer"] == "Rebecca"
    assert context[answer["start"] : answer["end"]] == "Rebecca"


def test_the_question_never_is_the_answer(scorer: scoring.Scorer) -> None:
    answer = ask(
        scorer,
        {"inputs": {"question": "Who is Rebecca Rebecca", "context": "She was born in 1946"}},
    )
    assert answer["answer"] == "1946"


def test_top_k_gives_a_list_best_first(scorer: scoring.Scorer) -> None:
    answers = ask(scorer, {"inputs": tiny.QUESTION, "parameters": {"top_k": 3}})
    assert [a["answer"] for a in answers][:2] == ["Rebecca", "Rebecca Parton"]
    assert answers[0]["score"] >= answers[1]["score"] >= answers[2]["score"]


def test_max_answer_len_bounds_the_span(scorer: scoring.Scorer) -> None:
    answers = ask(
        scorer, {"inputs": tiny.QUESTION, "parameters": {"top_k": 20, "max_answer_len": 1}}
    )
    assert all(" " not in a["answer"] for a in answers)


def test_no_answer_can_win(scorer: scoring.Scorer) -> None:
    flat = {"question": "Who", "context": "bad bad bad bad bad bad bad bad"}
    answer = ask(
        scorer, {"inputs": flat, "parameters": {"handle_impossible_answer": True, "top_k": 99}}
    )
    assert {"score": pytest.approx(1 / 81), "start": 0, "end": 0, "answer": ""} in answer


def test_no_answer_needs_to_beat_the_best_by_the_threshold(scorer: scoring.Scorer) -> None:
    """The tiny model's logits: 0 + 0 for no answer, 4 + 4 for Rebecca."""

    def answer(threshold: float) -> Any:
        parameters = {
            "handle_impossible_answer": True,
            "null_score_diff_threshold": threshold,
            "top_k": 2,
        }
        return [
            a["answer"] for a in ask(scorer, {"inputs": tiny.QUESTION, "parameters": parameters})
        ]

    assert answer(-8.5) == ["", "Rebecca"]
    assert answer(-8) == ["Rebecca", "Rebecca Parton"]
    assert answer(0) == ["Rebecca", "Rebecca Parton"]


def test_the_score_may_be_the_sum_of_the_logits(scorer: scoring.Scorer) -> None:
    """As DeepSparse gives it."""
    parameters = {"score": "logit_sum", "top_k": 2}
    answers = ask(scorer, {"inputs": tiny.QUESTION, "parameters": parameters})
    assert [(a["answer"], a["score"]) for a in answers] == [("Rebecca", 8), ("Rebecca Parton", 7)]
    none = ask(
        scorer,
        {
            "inputs": tiny.QUESTION,
            "parameters": {**parameters, "handle_impossible_answer": True, "top_k": 99},
        },
    )
    assert {"score": 0, "start": 0, "end": 0, "answer": ""} in none


def test_the_score_of_windows_is_compared_as_it_is_asked_for(scorer: scoring.Scorer) -> None:
    """Alone in its window a weak answer is nearly certain, though its logits are lower."""
    context = "bad day " * 2 + "rebecca rebecca rebecca rebecca " + "bad day " * 9 + "1946"
    item = {"question": "Who", "context": context}
    parameters = {"max_seq_len": 12, "doc_stride": 0}
    assert ask(scorer, {"inputs": item, "parameters": parameters})["answer"] == "1946"
    assert ask(scorer, {"inputs": item, "parameters": {**parameters, "score": "logit_sum"}})[
        "answer"
    ].startswith("reb")


def test_several_questions_may_share_a_context(scorer: scoring.Scorer) -> None:
    context = tiny.QUESTION["context"]
    columns = {"question": ["Who", "When"], "context": context}
    one_by_one = [{"question": question, "context": context} for question in ("Who", "When")]
    expected = ask(scorer, {"inputs": one_by_one})
    assert ask(scorer, columns) == ask(scorer, {"inputs": columns}) == expected
    assert ask(scorer, {"question": ["Who", "When"], "context": [context, context]}) == expected


def test_topk_is_the_older_name_of_top_k(scorer: scoring.Scorer) -> None:
    both = [
        ask(scorer, {"inputs": tiny.QUESTION, "parameters": {name: 2}})
        for name in ("top_k", "topk")
    ]
    assert both[0] == both[1]
    assert len(both[0]) == 2


def test_a_short_context_needs_no_stride(scorer: scoring.Scorer) -> None:
    # leaves 20 tokens of a window, of which 4 would be shared
    long = "what is the middle name of dolly parton who"
    parameters = {"doc_stride": 20}
    assert ask(
        scorer, {"inputs": {"question": long, "context": "rebecca"}, "parameters": parameters}
    )["answer"]
    error = ask(
        scorer, {"inputs": {"question": long, "context": "rebecca " * 30}, "parameters": parameters}
    )["error"]
    assert (
        error["message"]
        == "'parameters.doc_stride' is 20; for this text it must be below 20 tokens"
    )


@given(
    st.lists(
        st.sampled_from([*tiny.WORDS, "1946", "\u200b", "𝔘𝔫", "e\u0301", "  ", "\n", "東京"]),
        min_size=1,
    ),
    st.integers(1, 8),
    st.integers(8, 32),
    st.integers(0, 6),
)
@settings(max_examples=60)
def test_every_answer_is_cut_from_the_callers_context(
    parts: list[str], top_k: int, length: int, stride: int
) -> None:
    context = " ".join(parts) + " day"
    parameters = {
        "top_k": top_k,
        "max_seq_len": length,
        "doc_stride": min(stride, length - 5),
        "score": "logit_sum",
    }
    answers = ask(
        _loaded(), {"inputs": {"question": "who", "context": context}, "parameters": parameters}
    )
    answers = answers if isinstance(answers, list) else [answers]
    assert all(context[a["start"] : a["end"]] == a["answer"] for a in answers)
    assert all(a["answer"].strip() for a in answers)
    assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)
    if "rebecca" in parts and parts.index("rebecca") == len(parts) - 1 - parts[::-1].index(
        "rebecca"
    ):
        assert answers[0]["answer"] == "rebecca"


@functools.cache
def _loaded() -> scoring.Scorer:
    with tempfile.TemporaryDirectory() as folder:
        return scoring.load(tiny.question_answering(Path(folder)))


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
        (
            {"inputs": [tiny.QUESTION, {"question": "Who", "context": None}]},
            "invalid_type",
            "'inputs[1].context'",
        ),
        (
            {"inputs": {"question": "who " * 13, "context": "x"}},
            "invalid_value",
            "'inputs.question' has 13 tokens",
        ),
        ({"inputs": {"question": "Who", "context": "\ud800"}}, "invalid_value", "'inputs.context'"),
        (
            {"inputs": tiny.QUESTION, "parameters": {"k": 1}},
            "invalid_value",
            "'k'; known: align_to_words",
        ),
        (
            {"question": ["x", "y"], "context": ["z"]},
            "invalid_value",
            "'question' has 2 items and 'context' 1",
        ),
        ({"question": ["x", 1], "context": "z"}, "invalid_type", "'question[1]' must be a string"),
        (
            {"inputs": tiny.QUESTION, "parameters": {"max_seq_len": 33}},
            "invalid_value",
            "at most 32",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"max_question_len": 5}},
            "invalid_value",
            "'inputs.question' has 7",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"score": "logits"}},
            "invalid_value",
            "probability, logit_sum",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"doc_stride": 32}},
            "invalid_value",
            "below the 32 tokens",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"top_k": 0}},
            "invalid_value",
            "'parameters.top_k'",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"top_k": True}},
            "invalid_type",
            "'parameters.top_k'",
        ),
        (
            {"inputs": tiny.QUESTION, "parameters": {"doc_stride": 999}},
            "invalid_value",
            "'parameters.doc_stride'",
        ),
        ({"inputs": tiny.QUESTION, "parameters": [1]}, "invalid_type", "'parameters'"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(
    scorer: scoring.Scorer, payload: Any, code: str, names: str
) -> None:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (400, code)
    assert names in error["message"]


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (
            {"inputs": tiny.QUESTION, "parameters": {"top_k": 10_001}},
            "'parameters.top_k' 10001 ask for more than",
        ),
        ({"inputs": [tiny.QUESTION] * 2, "parameters": {"top_k": 5001}}, "2 question(s)"),
        (
            {
                "inputs": {"question": "who", "context": "day " * 9000},
                "parameters": {"doc_stride": 27},
            },
            "8973 windows of 32 tokens, and one request gets at most 8192",
        ),
    ],
)
def test_what_would_fill_the_memory_is_refused(
    scorer: scoring.Scorer, payload: Any, names: str
) -> None:
    response = scorer.handle(scoring.Request(json.dumps(payload).encode()))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (413, "too_large")
    assert names in error["message"]


def test_a_long_context_that_many_questions_share_is_refused_at_once(
    scorer: scoring.Scorer,
) -> None:
    """Encoded with each of them it would be 3 GB of text."""
    columns = {"question": ["who"] * 1024, "context": "day " * 800_000}
    error = ask(scorer, columns)["error"]
    assert error["message"].startswith(
        "'context' has 800004 tokens; this model takes at most 100000 (limits.tokens)"
    )
    several = ask(scorer, {**columns, "context": "day " * 90_000})["error"]
    assert "windows of 32 tokens, and one request gets at most 8192" in several["message"]


def test_windows_cover_every_context_token_and_overlap_by_the_stride(tmp_path: Path) -> None:
    tiny.tokenizer().save(str(tmp_path / "tokenizer.json"))
    (pair,) = Tokenizer(tmp_path / "tokenizer.json").encode_with_offsets(
        [("who is she", "good day " * 25)]
    )
    cut = list(windows(pair, 1, max_length=20, stride=4))
    covered = [range(w.first + w.shift, w.stop + w.shift) for w in cut]
    assert set(itertools.chain(*covered)) == set(range(*pair.ranges[1]))
    assert all(len(w.tokens) <= 20 for w in cut)
    assert count_windows(pair, 1, max_length=20, stride=4) == len(cut)
    assert (
        count_windows(pair, 1, max_length=200, stride=4) == len(list(windows(pair, 1, 200, 4))) == 1
    )
    assert [a.stop - b.start for a, b in itertools.pairwise(covered)] == [4] * (len(cut) - 1)
    for window in cut:
        own = window.tokens.ids[window.first : window.stop]
        np.testing.assert_array_equal(
            own, pair.tokens.ids[window.first + window.shift : window.stop + window.shift]
        )


@pytest.mark.parametrize("seed", range(20))
def test_best_spans_are_those_of_a_search_through_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    length, first, stop, most = 24, 7, 23, 6
    start, end = rng.normal(size=(2, length)).astype(np.float32) * 3
    window = Window(
        Tokens(np.zeros(length, np.int64), np.zeros(length, np.int64)), first, stop, shift=100
    )
    allowed = [0, *range(first, stop)]
    p, q = (
        np.exp(v - v[allowed].max()) / np.exp(v[allowed] - v[allowed].max()).sum()
        for v in (start, end)
    )
    every = [
        (p[s] * q[e], s + 100, e + 100)
        for s in range(first, stop)
        for e in range(s, min(s + most, stop))
    ]
    spans, none = best_spans((start, end), window, 5, most)
    for span, (score, s, e) in zip(spans, sorted(every, reverse=True)[:5], strict=True):
        assert (span.first, span.last) == (s, e)
        assert span.probability == pytest.approx(score, rel=1e-4)
        assert span.logits == pytest.approx(start[s - 100] + end[e - 100], rel=1e-4)
    assert none.probability == pytest.approx(p[0] * q[0], rel=1e-4)
    assert none.logits == pytest.approx(start[0] + end[0])


def test_a_model_sure_of_no_answer_still_gives_its_best_span() -> None:
    """Every span's probability underflows to 0 here; the best must still be a span that can be."""
    length, first, stop = 12, 4, 11
    logits = np.full(length, -1000, np.float32)
    logits[0] = 1000
    window = Window(
        Tokens(np.zeros(length, np.int64), np.zeros(length, np.int64)), first, stop, shift=0
    )
    spans, none = best_spans((logits, logits), window, 3, 5)
    assert len(spans) == 3
    assert all(first <= s.first <= s.last < min(stop, s.first + 5) for s in spans)
    assert none.probability == pytest.approx(1)


def windowed(folder: Path, length: int) -> scoring.Scorer:
    """A model of `length` tokens whose stride is that of transformers' pipeline, 128."""
    path = tiny.question_answering(folder, length) / "model_spec.json"
    spec = json.loads(path.read_text())
    spec["settings"] |= {"doc_stride": 128, "max_question_length": None}
    path.write_text(json.dumps(spec))
    return scoring.load(folder)


@pytest.mark.parametrize("length", [90, 100, 123, 124])
def test_a_default_stride_shrinks_beside_a_long_question(tmp_path: Path, length: int) -> None:
    """Of a window of 128 tokens 1 to 35 are left for the context, so windows cannot share 64. By
    logits: in windows of one token every token has the probability 1."""
    scorer, by = windowed(tmp_path, 128), {"parameters": {"score": "logit_sum"}}
    asked = {
        "question": "who " * length,
        "context": "it was a very good day " * 40 + "Rebecca" + " it was not a bad day" * 40,
    }
    assert ask(scorer, {"inputs": asked, **by})["answer"] == "Rebecca"
    short = {"question": "who sings", "context": asked["context"]}
    assert [a["answer"] for a in ask(scorer, {"inputs": [asked, short], **by})] == ["Rebecca"] * 2


def test_a_stride_that_was_sent_does_not_shrink(tmp_path: Path) -> None:
    scorer = windowed(tmp_path, 128)
    asked = {"question": "who " * 90, "context": "it was a very good day " * 40}
    error = ask(scorer, {"inputs": asked, "parameters": {"doc_stride": 64}})["error"]
    assert (
        error["message"]
        == "'parameters.doc_stride' is 64; for this text it must be below 35 tokens"
    )


@pytest.mark.parametrize("parameters", [{}, {"doc_stride": 4}])
def test_a_question_that_fills_the_window_is_named(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    asked = {"question": "who " * 130, "context": "it was a very good day"}
    scorer = windowed(tmp_path, 128)
    error = ask(scorer, {"inputs": [tiny.QUESTION, asked], "parameters": parameters})["error"]
    assert error["message"] == (
        "'inputs[1].question' has 130 tokens; a window of 128 tokens has no room for the context"
        " beside it"
    )
