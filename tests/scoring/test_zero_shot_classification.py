"""Zero-shot classification: labels judged by an entailment model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry import scoring
from tests import tiny


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.zero_shot_classification(tmp_path_factory.mktemp("nli")))


def send(scorer: scoring.Scorer, payload: Any) -> Any:
    return json.loads(scorer.handle(scoring.Request(json.dumps(payload).encode())).body)


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    return send(scorer, {"inputs": inputs, "parameters": parameters})


def test_labels_compete_for_the_text(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, "a day", candidate_labels=["good", "great", "bad"])
    scores = np.exp([4, 2, 0]) / np.exp([4, 2, 0]).sum()
    assert answer == {
        "sequence": "a day",
        "labels": ["great", "good", "bad"],
        "scores": pytest.approx(list(scores)),
    }


def test_with_multi_label_each_stands_alone(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, "a day", candidate_labels="good, bad ,", multi_label=True)
    sure = 1 / (1 + np.exp(-2))
    assert (answer["labels"], answer["scores"]) == (
        ["good", "bad"],
        pytest.approx([sure, 1 - sure]),
    )
    # one has no rival
    assert ask(scorer, "a day", candidate_labels=["good"])["scores"] == pytest.approx([sure])
    assert ask(scorer, "a day", candidate_labels="good,bad", multi_class=True) == answer


def test_a_list_is_answered_by_a_list(scorer: scoring.Scorer) -> None:
    labels = ["good", "bad"]
    both = ask(scorer, ["a day", "bad bad"], candidate_labels=labels)
    assert both == [ask(scorer, text, candidate_labels=labels) for text in ("a day", "bad bad")]
    assert len(ask(scorer, ["a day"], candidate_labels=labels)) == 1


def test_deepsparses_form_gets_the_same_answer(scorer: scoring.Scorer) -> None:
    expected = ask(scorer, "a day", candidate_labels=["good", "bad"], multi_label=True)
    assert (
        send(scorer, {"sequences": "a day", "labels": ["good", "bad"], "multi_class": True})
        == expected
    )
    assert (
        send(scorer, {"inputs": "a day", "candidate_labels": "good,bad", "multi_label": True})
        == expected
    )


def test_the_text_gives_way_and_never_the_hypothesis(scorer: scoring.Scorer) -> None:
    short = ask(scorer, "bad", candidate_labels=["good", "great"])
    assert (
        ask(scorer, "bad " + "it " * 50 + "great", candidate_labels=["good", "great"])["scores"]
        == short["scores"]
    )


def test_the_template_is_the_callers_choice(scorer: scoring.Scorer) -> None:
    plain = ask(scorer, "a day", candidate_labels=["in", "an"], multi_label=True)
    told = ask(
        scorer,
        "a day",
        candidate_labels=["in", "an"],
        multi_label=True,
        hypothesis_template="a {} {{great}}",
    )
    assert plain["scores"] == pytest.approx([0.5, 0.5])
    assert told["scores"] == pytest.approx([1 / (1 + np.exp(-4))] * 2)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({}, "'parameters.candidate_labels' is missing; give the labels to choose from"),
        ({"candidate_labels": []}, "'parameters.candidate_labels' holds no label"),
        ({"candidate_labels": " , "}, "'parameters.candidate_labels' holds no label"),
        ({"candidate_labels": ["a", 1]}, "must be a string or a list of strings, got an integer"),
        ({"candidate_labels": ["a", ""]}, "'parameters.candidate_labels[1]' is empty"),
        ({"candidate_labels": "a", "hypothesis_template": "no place"}, "must hold {} once"),
        ({"candidate_labels": "a", "hypothesis_template": "{} and {}"}, "must hold {} once"),
        ({"candidate_labels": "a", "hypothesis_template": "{.__class__}"}, "must hold {} once"),
        ({"candidate_labels": "a", "hypothesis_template": "{:>999999999}"}, "must hold {} once"),
        ({"candidate_labels": "a", "hypothesis_template": "{"}, "a brace without its pair"),
        (
            {"candidate_labels": "a", "hypothesis_template": "{}" + "x" * 1000},
            "has 1002 characters; at most 1000",
        ),
        (
            {"candidate_labels": ["a " * 30]},
            "a hypothesis of 34 tokens, which leaves no room for the text",
        ),
        ({"candidate_labels": "a", "labels": ["b"]}, "unknown parameter(s) 'labels'"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(
    scorer: scoring.Scorer, parameters: Any, names: str
) -> None:
    error = ask(scorer, "a day", **parameters)["error"]
    assert names in error["message"]
    assert error["code"] in ("missing_field", "invalid_type", "invalid_value")


def test_too_many_labels_are_refused_before_the_work(scorer: scoring.Scorer) -> None:
    error = ask(scorer, ["a day"] * 10, candidate_labels=["good"] * 820)["error"]
    assert (
        error["message"]
        == "10 text(s) with 820 labels, and one request gets at most 8192; send fewer of either"
    )


def test_a_spec_may_bring_labels_and_template(tmp_path: Path) -> None:
    folder = tiny.zero_shot_classification(
        tmp_path, candidate_labels=["good", "bad"], hypothesis_template="it is {}"
    )
    scorer = scoring.load(folder)
    assert send(scorer, {"inputs": "a day"}) == ask(
        scorer, "a day", candidate_labels=["good", "bad"], hypothesis_template="it is {}"
    )
    assert json.loads(scorer.handle(scoring.Request(b"a day", "text/plain")).body)["labels"] == [
        "good",
        "bad",
    ]


def test_a_model_that_is_no_entailment_model_is_refused(tmp_path: Path) -> None:
    folder = tiny.zero_shot_classification(tmp_path)
    path = folder / "model_spec.json"
    path.write_text(path.read_text().replace("entailment", "yes"))
    with pytest.raises(scoring.ScoringError, match="none of 'labels' begins with 'entail'"):
        scoring.load(folder)
