"""Embeddings: token vectors as transformers gives them, or pooled as sentence-transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import normalizers, processors

import scoring
from tests import tiny


def ask(folder: Path, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scoring.load(folder).handle(scoring.Request(body)).body)


def test_without_pooling_each_token_has_its_vector(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    assert ask(folder, "good day") == [[[1, 1], [3, 0], [0, 4], [0, 0]]]
    assert ask(folder, ["day", "good day"])[0] == [[[1, 1], [0, 4], [0, 0]]]  # no padding is left in it


@pytest.mark.parametrize(("pooling", "vector"), [("mean", [1, 1.25]), ("cls", [1, 1]), ("max", [3, 4])])
def test_pooling_makes_one_vector_a_text(tmp_path: Path, pooling: str, vector: list[float]) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling=pooling)
    assert ask(folder, "good day") == vector
    assert ask(folder, ["good day", "good day good day"])[0] == vector


def test_normalize_gives_length_one(tmp_path: Path) -> None:
    assert ask(tiny.feature_extraction(tmp_path, pooling="max", normalize=True), "good day") == pytest.approx(
        [0.6, 0.8]
    )


def test_parameters_override_the_model(tmp_path: Path) -> None:
    assert ask(tiny.feature_extraction(tmp_path, pooling="mean"), "good day", pooling="cls") == [1, 1]


def test_an_unknown_pooling_in_the_spec_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(scoring.ScoringError, match="pooling 'median' is not one of none, mean, cls, max"):
        scoring.load(tiny.feature_extraction(tmp_path, pooling="median"))


def test_an_answer_of_too_many_numbers_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.tasks.feature_extraction.NUMBERS", 19)
    scorer = scoring.load(tiny.feature_extraction(tmp_path))
    response = scorer.handle(scoring.Request(b'{"inputs": ["good day", "good day good day"]}'))
    assert response.status == 413
    assert "more than 19 numbers" in json.loads(response.body)["error"]["message"]
    assert scorer.handle(scoring.Request(b'{"inputs": ["good day"]}')).status == 200


def test_a_text_without_any_token_is_refused(tmp_path: Path) -> None:
    """Not every tokenizer frames a text with special tokens; an empty batch would be the model's failure."""
    folder = tiny.feature_extraction(tmp_path)
    bare = tiny.tokenizer()
    bare.normalizer = normalizers.Replace("x", "")
    bare.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    bare.save(str(folder / "tokenizer.json"))
    response = scoring.load(folder).handle(scoring.Request(b'{"inputs": ["good", "x"]}'))
    assert response.status == 400
    assert "text 1 of the request holds no character" in json.loads(response.body)["error"]["message"]
