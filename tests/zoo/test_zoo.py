"""A small part of the zoo, under the transformers that is installed: `python -m tests.zoo` runs all
of it under both major versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.zoo import page
from tests.zoo.build import build
from tests.zoo.compare import FAILED, OK, REFUSED, SLOWER, Outcome, compared, difference
from tests.zoo.pairs import PAIRS
from tests.zoo.steps import MAJOR

pytestmark = pytest.mark.toolchain
BY_NAME = {pair.name: pair for pair in PAIRS}


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("bert-text-classification-wordlevel-generic", OK),
        ("gpt-2-text-classification-byte-level-bpe-generic", SLOWER),
        ("convbert-text-classification-wordpiece", SLOWER),  # texts of one length a run
        ("longformer-text-classification-byte-level-bpe", REFUSED),
    ],
)
def test_a_pair_comes_out_right_or_is_refused_with_the_reason(
    tmp_path: Path, name: str, outcome: str
) -> None:
    pair = BY_NAME[name]
    build(pair, tmp_path)
    found = compared(pair, tmp_path, MAJOR, MAJOR)
    assert (found.outcome, found.detail.startswith("refused")) == (outcome, False), found.detail


def test_the_zoo_has_at_least_forty_pairs_of_other_names() -> None:
    assert len(BY_NAME) == len(PAIRS) >= 40
    kinds = {pair.vocabulary.kind for pair in PAIRS if pair.vocabulary}
    assert kinds == {"WordPiece", "WordLevel", "byte-level BPE", "SentencePiece BPE", "Unigram"}


def test_what_differs_is_seen() -> None:
    row = {"label": "calm", "score": 0.5}
    assert difference([row], [row]) == 0
    assert difference([{**row, "score": 0.25}], [row]) == 0.5
    assert difference([{**row, "label": "glad"}], [row]) == float("inf")
    assert difference([row, row], [row]) == float("inf")
    assert difference([[1.0, 2.0]], [[1.0]]) == float("inf")


def test_the_page_tells_each_pair(tmp_path: Path) -> None:
    pairs = PAIRS[:2]
    outcomes = [
        Outcome(pairs[0].name, 5, 5, OK),
        Outcome(pairs[0].name, 4, 5, SLOWER),
        Outcome(pairs[1].name, 5, 5, REFUSED, "/some/folder: why"),
        Outcome(pairs[1].name, 5, 4, REFUSED, "newer"),
        Outcome(pairs[1].name, 4, 4, FAILED, "badly"),
    ]
    for outcome in outcomes:
        folder = tmp_path / str(outcome.saved) / outcome.pair
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"outcome-{outcome.prepared}.json").write_text(outcome.to_json())
    found = page.read(tmp_path, pairs)
    assert sorted(map(Outcome.to_json, found)) == sorted(map(Outcome.to_json, outcomes))

    page.write(tmp_path / "models.md", pairs, found)

    text = (tmp_path / "models.md").read_text()
    assert "| BERT | text-classification | WordPiece | ok | slower | not tried |" in text
    assert "| BERT | token-classification | WordPiece | refused | not tried | failed |" in text
    assert "- BERT, token-classification: folder: why" in text
    assert json.dumps(str(tmp_path)) not in text
