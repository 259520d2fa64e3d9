"""Masked language modelling: which tokens fit where the mask is."""

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
    return scoring.load(tiny.fill_mask(tmp_path_factory.mktemp("mask")))


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scorer.handle(scoring.Request(body)).body)


def test_the_best_tokens_come_with_the_text_that_they_make(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, "A very good [MASK]!")
    total = np.exp(5) + np.exp(4) + np.exp(3) + len(tiny.VOCABULARY) - 3
    assert len(answer) == 5
    assert answer[0] == {
        "score": pytest.approx(np.exp(5) / total),
        "token": tiny.VOCABULARY["day"],
        "token_str": "day",
        "sequence": "a very good day !",
    }
    assert [a["token_str"] for a in answer[:3]] == ["day", "good", "very"]


def test_several_masks_get_a_list_each_and_stay_in_each_others_text(scorer: scoring.Scorer) -> None:
    first, second = ask(scorer, "a [MASK] [MASK]", top_k=1)
    assert first[0]["sequence"] == "[CLS] a day [MASK] [SEP]"
    assert second[0]["sequence"] == "[CLS] a [MASK] day [SEP]"


def test_a_list_is_answered_by_a_list(scorer: scoring.Scorer) -> None:
    one = ask(scorer, "a [MASK]", top_k=2)
    assert ask(scorer, ["a [MASK]", "the [MASK]"], top_k=2)[0] == one
    assert ask(scorer, ["a [MASK]"], top_k=2) == [one]


def test_targets_are_all_that_competes(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, "a [MASK]", targets=["very", "good", "very"])
    assert [a["token_str"] for a in answer] == ["good", "very"]
    everything = {a["token_str"]: a["score"] for a in ask(scorer, "a [MASK]")}
    assert [a["score"] for a in answer] == [everything["good"], everything["very"]]
    assert ask(scorer, "a [MASK]", targets="Good day") == answer[:1]  # stands for its first token


def test_spaces_are_cleaned_up_where_the_models_tokenizer_does(tmp_path: Path) -> None:
    cleaned = scoring.load(tiny.fill_mask(tmp_path, clean_up_tokenization_spaces=True, top_k=1))
    assert ask(cleaned, "a [MASK] !")[0]["sequence"] == "a day!"


@pytest.mark.parametrize(
    ("inputs", "parameters", "names"),
    [
        (
            "a day",
            {},
            "'inputs' has no mask token [MASK] within the 12 tokens that this model reads",
        ),
        (
            ["[MASK]", "a " * 20 + "[MASK]"],
            {},
            "'inputs[1]' has no mask token [MASK] within the 12 tokens",
        ),
        (
            "[MASK] " + "a " * 20,
            {"truncation": False},
            "'inputs' has 23 tokens; without truncation at most 12 fit",
        ),
        ("[MASK]", {"targets": []}, "'parameters.targets' holds 0 strings; expected 1 to 1000"),
        (
            "[MASK]",
            {"targets": " "},
            "'parameters.targets' holds no character that the model's tokenizer knows",
        ),
        (
            "[MASK]",
            {"top_k": 10_001},
            "1 mask(s) with 'parameters.top_k' 10001 ask for more than 10000 answers",
        ),
        (
            "[MASK]",
            {"tokenizer_kwargs": {"stride": 1}},
            "unknown parameter(s) 'stride'; known: max_length, padding",
        ),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(
    scorer: scoring.Scorer, inputs: Any, parameters: Any, names: str
) -> None:
    assert names in ask(scorer, inputs, **parameters)["error"]["message"]


def test_a_mask_token_that_the_tokenizer_lacks_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(
        scoring.ScoringError, match="mask_token '<mask>' is not in the tokenizer's vocabulary"
    ):
        scoring.load(tiny.fill_mask(tmp_path, mask_token="<mask>"))  # noqa: S106
