"""Text classification, single and multi-label, in the shapes of transformers' pipeline."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.manifest import ModelSpec
from tests import tiny


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.text_classification(tmp_path_factory.mktemp("single")))


@pytest.fixture(scope="module")
def multi(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    folder = tmp_path_factory.mktemp("multi")
    return scoring.load(tiny.text_classification(folder, "multi_label_classification"))


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scorer.handle(scoring.Request(body)).body)


def test_single_label_gives_the_best_label_of_each_text(single: scoring.Scorer) -> None:
    answer = ask(single, "good")
    total = math.exp(0) + math.exp(2) + math.exp(0.1)
    assert answer == [{"label": "good", "score": pytest.approx(math.exp(2) / total)}]
    assert [a["label"] for a in ask(single, ["awful day", "very very very", "great"])] == [
        "bad",
        "long",
        "good",
    ]


def test_top_k_gives_a_list_a_text(single: scoring.Scorer) -> None:
    assert [a["label"] for a in ask(single, "good", top_k=2)] == ["good", "long"]
    assert [[a["label"] for a in row] for row in ask(single, ["good", "bad"], top_k=1)] == [
        ["good"],
        ["bad"],
    ]
    assert len(ask(single, "good", top_k=None)) == 3


def test_multi_label_gives_every_label_with_its_own_probability(multi: scoring.Scorer) -> None:
    answer = ask(multi, "good bad", top_k=None)
    assert [a["label"] for a in answer] == ["bad", "good", "long"]
    assert [a["score"] for a in answer] == pytest.approx(
        [1 / (1 + math.exp(-x)) for x in (2, 2, 0.2)]
    )


def test_function_to_apply_is_the_callers_choice(multi: scoring.Scorer) -> None:
    scores = [a["score"] for a in ask(multi, "great", function_to_apply="none", top_k=3)]
    assert scores == pytest.approx([3, 0.1, 0])
    assert ask(multi, "great", function_to_apply="NONE") == [{"label": "good", "score": 3}]
    assert ask(multi, "great", function_to_apply=None) == ask(multi, "great")


def test_a_text_is_scored_alike_alone_and_among_longer_ones(single: scoring.Scorer) -> None:
    texts = ["good", "very " * 30, "bad day", "not a very good day", "awful"]
    assert ask(single, texts) == [ask(single, text)[0] for text in texts]


def test_the_deepsparse_key_is_read_as_inputs(single: scoring.Scorer) -> None:
    response = single.handle(scoring.Request(b'{"sequences": ["good"]}'))
    assert json.loads(response.body) == ask(single, ["good"])


def test_a_pair_is_scored_as_one_sequence(single: scoring.Scorer) -> None:
    """One pair is answered as the pipeline does it: without a list, unlike one text."""
    pair = {"text": "good", "text_pair": "bad bad"}
    assert ask(single, pair) == ask(single, [pair])[0]
    assert ask(single, pair)["label"] == "bad"
    assert ask(single, pair, top_k=2)[1]["label"] == "good"
    assert ask(single, {"text": "good"}) == ask(single, "good")[0]
    assert ask(single, {"text": "good", "text_pair": None}) == ask(single, "good")[0]


def test_the_older_forms_of_a_pair_are_read(single: scoring.Scorer) -> None:
    expected = ask(single, [{"text": "good", "text_pair": "bad bad"}])
    assert ask(single, [["good", "bad bad"]]) == ask(single, [[["good", "bad bad"]]]) == expected
    response = single.handle(scoring.Request(b'{"sequences": [["good", "bad bad"]]}'))
    assert json.loads(response.body) == expected


def test_csv_may_hold_pairs(single: scoring.Scorer) -> None:
    response = single.handle(scoring.Request(b"text,text_pair\ngood,bad bad\n", "text/csv"))
    assert json.loads(response.body) == ask(single, [{"text": "good", "text_pair": "bad bad"}])


def test_return_all_scores_keeps_the_labels_order(single: scoring.Scorer) -> None:
    answer = ask(single, "good", return_all_scores=True)
    assert [a["label"] for a in answer[0]] == ["bad", "good", "long"]
    assert ask(single, ["good", "bad"], return_all_scores=True)[0] == answer[0]
    assert ask(single, "good", return_all_scores=False) == ask(single, "good")
    assert ask(single, "good", return_all_scores=True, top_k=1) == ask(single, "good", top_k=1)


def test_a_text_is_cut_unless_the_caller_forbids_it(single: scoring.Scorer) -> None:
    text = "good " * 14 + "awful " * 99
    assert ask(single, text)[0]["label"] == "good"
    assert ask(single, text, truncation=True, padding=True) == ask(single, text)
    assert ask(single, "good awful awful", max_length=3)[0]["label"] == "good"
    assert (
        "'inputs' has 115 tokens; without truncation at most 16"
        in ask(single, text, truncation=False)["error"]["message"]
    )
    assert (
        "'parameters.max_length' is 17 tokens; this model takes at most 16"
        in ask(single, "x", max_length=17)["error"]["message"]
    )


def test_of_a_pair_the_longer_text_gives_way(single: scoring.Scorer) -> None:
    """13 tokens of text fit beside the special ones: 2 of the short one and 11 of the long one."""
    pair = {"text": "awful awful", "text_pair": "very " * 11 + "great " * 50}
    assert ask(single, pair)["label"] == "bad"
    both = {
        "text": "good " * 7 + "awful " * 50,
        "text_pair": "good " * 7 + "awful " * 50,
    }  # 6 of the one, 7 of the other
    assert ask(single, both)["label"] == "good"


def test_a_spec_may_set_what_a_request_without_top_k_gets(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    path = folder / "model_spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "settings": {**spec["settings"], "top_k": None}}))
    assert [len(row) for row in ask(scoring.load(folder), ["good", "bad"])] == [3, 3]


def test_one_label_is_a_regression_only_if_the_model_says_so(tmp_path: Path) -> None:
    for problem, function in (
        ("regression", lambda x: x),
        (None, lambda x: 1 / (1 + math.exp(-x))),
    ):
        folder = tmp_path / str(problem)
        folder.mkdir()
        tiny.pooled_graph(folder / "model.onnx", {"good": [2.0]}, 1)
        tiny.tokenizer().save(str(folder / "tokenizer.json"))
        settings = {"max_length": 16} | ({"problem_type": problem} if problem else {})
        tiny.write_spec(folder, ModelSpec("one", "text-classification", settings, ("score",)))
        assert ask(scoring.load(folder), "good")[0]["score"] == pytest.approx(function(2))


@pytest.mark.parametrize(
    ("payload", "code", "names"),
    [
        ({"inputs": ""}, "invalid_value", "'inputs' is empty"),
        ({"inputs": ["good", 3]}, "invalid_type", "'inputs[1]' must be a string, got an integer"),
        (
            {"inputs": {"text_pair": "x"}},
            "missing_field",
            "'inputs.text' is missing; got field(s) 'text_pair'",
        ),
        (
            {"inputs": {"text": "x", "k": 1}},
            "invalid_value",
            "'inputs' has field(s) k; expected text and text_pair",
        ),
        (
            {"inputs": [["a", "b", "c"]]},
            "invalid_type",
            "'inputs[0]' must be a text or a pair of texts, got a list",
        ),
        ({"sequences": []}, "invalid_value", "'sequences'"),
        ({"text": "x"}, "missing_field", "'inputs' is missing; got field(s) 'text'"),
        (
            {"inputs": "x", "parameters": {"function_to_apply": "max"}},
            "invalid_value",
            "one of sigmoid, softmax, none",
        ),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(
    single: scoring.Scorer, payload: Any, code: str, names: str
) -> None:
    response = single.handle(scoring.Request(json.dumps(payload).encode()))
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"]) == (400, code)
    assert names in error["message"]


def test_more_items_than_the_limit_are_refused_before_the_work(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.text_classification(tmp_path, limits=Limits(items=2)))
    response = scorer.handle(scoring.Request(b'{"inputs": ["good", "good", "good"]}'))
    assert response.status == 413
    assert (
        "'inputs' has 3 items; this model takes at most 2 (limits.items)" in response.body.decode()
    )
