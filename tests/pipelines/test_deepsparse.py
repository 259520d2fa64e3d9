"""What DeepSparse 1.8 (transformers 4.39.3) itself answered on the folders of folders.py, recorded
in deepsparse_1_8.json, and where a pipeline here is right to differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxferry import Pipeline
from onnxferry.scoring.errors import InvalidValue
from tests.pipelines import folders

RECORDS = json.loads((Path(__file__).parent / "deepsparse_1_8.json").read_text(encoding="utf-8"))
LONG = "the day was good . " * 12 + "Dolly Rebecca Parton was born in 1946"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("deepsparse")
    return {name: folders.folder(name, root / name) for name in folders.MAKERS}


def close(ours: Any, theirs: Any) -> bool:
    """Whether two pieces of JSON data are one but for the last digits of floats."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(close(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(close, ours, theirs))
    return bool(ours == pytest.approx(theirs, abs=1e-6))


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['task']}-{list(r['arguments'])}")
def test_an_output_is_deepsparses_own(models: dict[str, Path], record: Any) -> None:
    path = models[record["folder"]]
    pipeline = Pipeline.create(record["task"], model_path=path, **record["arguments"])
    call = record["call"]
    output = pipeline(**call) if isinstance(call, dict) else pipeline(*call)
    assert close(json.loads(output.model_dump_json()), record["output"])


def test_records_hold_every_task() -> None:
    assert {record["folder"] for record in RECORDS} == set(folders.MAKERS) - {"image"}


def test_an_empty_context_is_named_where_deepsparse_fails(models: dict[str, Path]) -> None:
    pipeline = Pipeline.create("qa", model_path=models["qa"])
    with pytest.raises(InvalidValue, match="'context' is empty"):
        pipeline(question="who", context="")


def test_an_answer_of_negative_logits_is_found(models: dict[str, Path]) -> None:
    """There all of the best starts and ends are elsewhere: IndexError."""
    pipeline = Pipeline.create("qa", model_path=models["qa"], n_best_size=1)
    assert pipeline(question="who", context="the good day").score == 0


def test_a_stride_that_no_window_can_share_is_cut(models: dict[str, Path]) -> None:
    """There the tokenizer panics."""
    pipeline = Pipeline.create("qa", model_path=models["qa"], sequence_length=[16, 32])
    answer = pipeline(question="when was dolly born", context=LONG)
    assert answer.answer == "Rebecca"
    assert pipeline.sequence_length == [16, 32]


def test_a_question_beyond_the_limit_or_the_window_is_named(models: dict[str, Path]) -> None:
    pipeline = Pipeline.create("qa", model_path=models["qa"], max_question_length=3)
    with pytest.raises(InvalidValue, match="'question' has 4 tokens; at most 3 fit"):
        pipeline(question="when was dolly born", context=LONG)
    pipeline = Pipeline.create("qa", model_path=models["qa"], sequence_length=8)
    with pytest.raises(InvalidValue, match="has no room for the context"):
        pipeline(question="what is the middle name", context=LONG)


def test_labels_that_tell_entailment_count(models: dict[str, Path]) -> None:
    """There output 0 is entailment, whatever the model says of it: "bad" would win."""
    pipeline = Pipeline.create("zero-shot-text-classification", model_path=models["nli"])
    assert pipeline(sequences="a day", labels=["good", "bad"]).labels == ["good", "bad"]


def test_one_label_is_judged_against_contradiction(models: dict[str, Path]) -> None:
    """There its score is 1 always."""
    pipeline = Pipeline.create("zero_shot_text_classification", model_path=models["nli"])
    score = pipeline(sequences="a bad bad day", labels=["good"]).scores[0]
    assert score == pytest.approx(1 / (1 + 2.718281828**2), abs=1e-6)


def test_vectors_of_padding_are_left_out(models: dict[str, Path]) -> None:
    """There a text has sequence_length vectors."""
    pipeline = Pipeline.create("transformers_embedding_extraction", model_path=models["embed"])
    assert pipeline(inputs="good day").embeddings == [[1, 1, 3, 0, 0, 4, 0, 0]]


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_entities_are_grouped_in_a_single_text_too(models: dict[str, Path], strategy: str) -> None:
    """There a text that is no list is read as its first character."""
    pipeline = Pipeline.create("ner", model_path=models["tokens"], aggregation_strategy=strategy)
    first = pipeline("Dolly Rebecca Parton was born in 1946").predictions[0][0]
    assert (first.entity, first.word, first.start, first.end) == (
        "PER",
        "dolly rebecca parton",
        0,
        20,
    )
    assert first.is_grouped and first.index is None
