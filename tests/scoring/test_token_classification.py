"""Token classification: tokens, words and entities with offsets into the caller's string."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry import scoring
from onnxferry.scoring.entities import ScoredToken, entities, without_overlaps, words
from tests import tiny


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.token_classification(tmp_path_factory.mktemp("entities")))


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scorer.handle(scoring.Request(body)).body)


def test_each_token_has_its_label_its_place_and_its_characters(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, "She is Dolly")
    score = pytest.approx(np.exp(4) / (np.exp(4) + 3))
    assert answer == [
        {"entity": "B-PER", "score": score, "index": 3, "word": "dolly", "start": 7, "end": 12}
    ]
    assert list(answer[0]) == ["entity", "score", "index", "word", "start", "end"]


def test_neighbours_of_one_entity_are_joined(scorer: scoring.Scorer) -> None:
    text = "Dolly Rebecca Parton was born in 1946"
    answer = ask(scorer, text, aggregation_strategy="simple")
    assert [(a["entity_group"], text[a["start"] : a["end"]], a["word"]) for a in answer] == [
        ("PER", "Dolly Rebecca Parton", "dolly rebecca parton"),
        ("DATE", "1946", "1946"),
    ]


def test_two_that_begin_are_two(scorer: scoring.Scorer) -> None:
    assert [a["word"] for a in ask(scorer, "dolly dolly", aggregation_strategy="simple")] == [
        "dolly",
        "dolly",
    ]


def test_offsets_count_code_points_also_outside_the_bmp(scorer: scoring.Scorer) -> None:
    text = "😀 naïve 😀 Dolly 😀"
    answer = ask(scorer, text)[0]
    assert text[answer["start"] : answer["end"]] == "Dolly"


def test_a_list_is_answered_by_a_list_of_lists(scorer: scoring.Scorer) -> None:
    answers = ask(scorer, ["a good day", "Dolly"])
    assert answers == [[], ask(scorer, "Dolly")]


def test_labels_to_ignore_are_the_callers_choice(scorer: scoring.Scorer) -> None:
    text = "Dolly was born in 1946"
    assert len(ask(scorer, text, ignore_labels=[])) == 5
    assert [
        a["entity_group"]
        for a in ask(scorer, text, aggregation_strategy="simple", ignore_labels=["PER", "O"])
    ] == ["DATE"]


def test_the_older_parameters_mean_a_strategy(scorer: scoring.Scorer) -> None:
    text = "Dolly Rebecca"
    assert ask(scorer, text, grouped_entities=True) == ask(
        scorer, text, aggregation_strategy="simple"
    )
    assert ask(scorer, text, grouped_entities=True, ignore_subwords=True) == ask(
        scorer, text, aggregation_strategy="first"
    )
    assert ask(scorer, text, grouped_entities=False) == ask(scorer, text)


def test_a_long_text_is_cut_or_read_through_windows(scorer: scoring.Scorer) -> None:
    text = "it was a very good day. " * 5 + "Dolly Rebecca sings."
    assert ask(scorer, text, aggregation_strategy="simple") == []
    answer = ask(scorer, text, aggregation_strategy="simple", stride=4)
    assert [text[a["start"] : a["end"]] for a in answer] == ["Dolly Rebecca"]


@pytest.mark.parametrize(
    ("inputs", "parameters", "names"),
    [
        ("x", {"aggregation_strategy": "best"}, "must be one of none, simple, first, average, max"),
        (
            "x",
            {"aggregation_strategy": "none", "stride": 2},
            "'parameters.stride' needs an 'aggregation_strategy'",
        ),
        (
            "day " * 20,
            {"aggregation_strategy": "simple", "stride": 10},
            "'parameters.stride' is 10; for this text",
        ),
        (
            "x",
            {"ignore_labels": [1]},
            "'parameters.ignore_labels' must be a string or a list of strings",
        ),
        ({"text": "x"}, {}, "'inputs' must be a string, got an object"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(
    scorer: scoring.Scorer, inputs: Any, parameters: Any, names: str
) -> None:
    assert names in ask(scorer, inputs, **parameters)["error"]["message"]


def test_windows_that_would_fill_the_memory_are_refused(scorer: scoring.Scorer) -> None:
    error = ask(scorer, "day " * 9000, aggregation_strategy="simple", stride=9)["error"]
    assert error["code"] == "too_large"
    assert "windows of 12 tokens, and one request gets at most 8192" in error["message"]


@pytest.mark.parametrize(
    ("strategy", "label", "score"), [("first", "A", 0.6), ("max", "B", 0.9), ("average", "B", 0.65)]
)
def test_a_word_is_labelled_as_a_whole(strategy: str, label: str, score: float) -> None:
    """micro + ##soft: the first piece is an A, the second surely a B."""
    pieces = [
        ScoredToken(np.array([0.6, 0.4]), "micro", 0, 5, 0, 0.6),
        ScoredToken(np.array([0.1, 0.9]), "##soft", 5, 9, 1, 0.9, continues=True),
        ScoredToken(np.array([0.2, 0.8]), "of", 10, 12, 1, 0.8),
    ]
    found = words(pieces, strategy, lambda tokens: "".join(tokens).replace("##", ""))
    assert [(u.word, u.start, u.end) for u in found] == [("microsoft", 0, 9), ("of", 10, 12)]
    first = entities(found[:1], ("A", "B"), " ".join)[0]
    assert (first["entity_group"], first["score"]) == (label, pytest.approx(score))


def test_of_two_that_overlap_the_longer_and_then_the_surer_stays() -> None:
    def entity(start: int, end: int, score: float) -> dict[str, Any]:
        return {"start": start, "end": end, "score": score}

    found = [entity(20, 25, 0.5), entity(0, 5, 0.9), entity(3, 12, 0.2), entity(20, 25, 0.7)]
    assert without_overlaps(found) == [entity(3, 12, 0.2), entity(20, 25, 0.7)]
    assert without_overlaps([]) == []


def test_a_spec_sets_what_a_request_leaves_open(tmp_path: Path) -> None:
    scorer = scoring.load(
        tiny.token_classification(tmp_path, aggregation_strategy="simple", ignore_labels=[])
    )
    assert [a["entity_group"] for a in ask(scorer, "she is Dolly")] == ["O", "PER"]
