"""Token classification, zero-shot classification, fill-mask and pairs of texts: tiny folders of
random weights become model directories, whose answers prepare itself has held against transformers'
own pipelines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers

from onnxferry import scoring
from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources import checkpoint
from onnxferry.scripts.prepare.sources.inspection.task_inference import infer_task
from onnxferry.system.errors import PrepareError, UsageError
from tests.scripts import checkpoints
from tests.scripts.checkpoints import CPU, INT8, as_exported

pytestmark = pytest.mark.toolchain

NEW = ("token-classification", "zero-shot-classification", "fill-mask")
BODIES: dict[str, Any] = {
    "token-classification": {
        "inputs": "Dolly Parton was born in 1946",
        "parameters": {"ignore_labels": []},
    },
    "zero-shot-classification": {
        "inputs": "a good day",
        "parameters": {"candidate_labels": ["good", "bad", "awful"]},
    },
    "fill-mask": {"inputs": "what is the name of MASK?", "parameters": {"top_k": 3}},
}
MASKS = {"bert": "[MASK]", "roberta": "<mask>"}
MADE = {"bert": checkpoints.bert, "roberta": checkpoints.roberta}


def made(
    tmp_path: Path, task: str, kind: str = "bert", **options: Any
) -> tuple[Path, scoring.ModelSpec]:
    source = MADE[kind](tmp_path / kind, task)
    return source, prepare(as_exported(str(source), tmp_path / "out", task=task, **options))


def ask(folder: Path, payload: Any) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("task", NEW)
def test_what_is_served_is_what_the_pipeline_says(tmp_path: Path, task: str, kind: str) -> None:
    source, spec = made(tmp_path, task, kind)

    assert (
        spec.task,
        spec.provenance["difference"]["inputs"],
        spec.provenance["difference"]["agreement"],
    ) == (task, 13, 1)
    assert spec.provenance["difference"]["max_abs"] < 1e-4
    assert spec.provenance["difference"]["pipeline"]["inputs"] == 13
    assert spec.provenance["difference"]["pipeline"]["agreement"] == 1
    assert spec.provenance["difference"]["pipeline"]["max_abs"] < 1e-5
    inputs, parameters = (
        BODIES[task]["inputs"].replace("MASK", MASKS[kind]),
        BODIES[task]["parameters"],
    )
    expected = transformers.pipeline(task, model=str(source))(inputs, **parameters)
    answer = ask(tmp_path / "out", {"inputs": inputs, "parameters": parameters})
    assert json.loads(json.dumps(expected, default=float)) == approx(answer)
    assert spec.settings.get("mask_token") == (MASKS[kind] if task == "fill-mask" else None)
    assert (spec.settings["max_length"], spec.labels) == (128, checkpoints.NAMES.get(task, ()))
    assert spec.golden
    assert ask(tmp_path / "out", json.loads(spec.golden.request.body)) == spec.golden.answer


def approx(answer: Any) -> Any:
    """An answer whose scores may differ by 1e-5."""
    if isinstance(answer, list):
        return [approx(entry) for entry in answer]
    if isinstance(answer, dict):
        return {key: approx(value) for key, value in answer.items()}
    return pytest.approx(answer, abs=1e-5) if isinstance(answer, float) else answer


@pytest.mark.parametrize("task", ["token-classification", "fill-mask", "text-classification"])
def test_int8_is_measured_against_the_pipeline_and_not_bound(tmp_path: Path, task: str) -> None:
    _, spec = made(tmp_path, task, variant=INT8, cpu=CPU, min_agreement=0, max_metric_drop=1)

    assert spec.cpu == CPU
    assert spec.provenance["difference"]["tolerance"] is None
    assert 1e-5 < spec.provenance["difference"]["pipeline"]["max_abs"] < 0.9
    assert spec.golden


def test_pairs_of_texts_are_verified_and_are_the_golden_request_of_an_nli_model(
    tmp_path: Path,
) -> None:
    source = checkpoints.bert(
        tmp_path / "bert", "text-classification", **checkpoints.named(*checkpoints.NLI)
    )

    spec = prepare(as_exported(str(source), tmp_path / "out"))

    assert (spec.task, spec.labels) == ("text-classification", checkpoints.NLI)
    assert spec.provenance["difference"]["pipeline"] == {
        "inputs": 61,
        "agreement": 1,
        "max_abs": pytest.approx(0, abs=1e-5),
    }
    assert spec.golden
    pair = json.loads(spec.golden.request.body)["inputs"]
    assert set(pair) == {"text", "text_pair"}
    assert approx(spec.golden.answer) == transformers.pipeline(
        "text-classification", model=str(source)
    )(pair)


def test_a_user_s_settings_go_to_both_sides(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text('{"aggregation_strategy": "simple", "max_length": 64}')

    _, spec = made(tmp_path, "token-classification", settings=settings)

    assert (spec.settings["aggregation_strategy"], spec.settings["max_length"]) == ("simple", 64)
    assert spec.golden
    assert {tuple(entry) for entry in spec.golden.answer} <= {
        ("entity_group", "score", "word", "start", "end")
    }


def test_a_tokenizer_without_a_mask_token_is_refused(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "fill-mask")
    bare = checkpoints.tokenizer(tmp_path / "tokenizer")

    with pytest.raises(UsageError, match=r"no mask token; name one in --settings, as mask_token"):
        prepare(as_exported(str(source), tmp_path / "out", tokenizer=bare))


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForTokenClassification", "token-classification"),
        ("RobertaForMaskedLM", "fill-mask"),
        # of an NLI model, too: both tasks are possible
        ("BertForSequenceClassification", "text-classification"),
    ],
)
def test_the_task_is_told_by_the_architecture(tmp_path: Path, architecture: str, task: str) -> None:
    config = {"architectures": [architecture]}
    assert infer_task(config, tmp_path, None) == task


def test_a_sentence_transformers_folder_makes_embeddings_whatever_head_it_names(
    tmp_path: Path,
) -> None:
    """As all-mpnet-base-v2, whose config.json names MPNetForMaskedLM."""
    (tmp_path / "modules.json").write_text("[]")
    config = {"architectures": ["MPNetForMaskedLM"]}
    assert infer_task(config, tmp_path, None) == "feature-extraction"


def test_a_classifier_that_does_not_judge_entailment_is_no_zero_shot_classifier(
    tmp_path: Path,
) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    options = as_exported(str(source), tmp_path / "out", task="zero-shot-classification")

    with pytest.raises(
        UsageError, match=r"none of the model's 3 labels begins with 'entail' \(calm, glad, angry\)"
    ):
        prepare(options)

    (tmp_path / "labels.txt").write_text("entailment\nneutral\ncontradiction\n")
    spec = prepare(replace(options, labels=tmp_path / "labels.txt"))
    assert spec.labels == ("entailment", "neutral", "contradiction")
    assert spec.provenance["difference"]["pipeline"]["agreement"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda e: {**e, "score": e["score"] + 0.01},
            r"served is not what transformers' token-classification pipeline answers: .* differ by"
            r" up to 0.01 on 13 inputs, more than 0.001 \(--tolerance\)",
        ),
        (
            lambda e: {**e, "end": e["end"] + 1},
            r"transformers' token-cl.*: 7.7% of the answers on 13 inputs are the same,"
            r" fewer than 90% \(--min-agreement\); worst input: .* line",
        ),
    ],
)
def test_answers_that_are_not_the_pipeline_s_are_stopped(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    """As if the serving side made other answers of the same outputs."""
    folder = checkpoints.bert(tmp_path / "bert", "token-classification")
    options = as_exported(str(folder), tmp_path / "out", min_agreement=0.9)
    source = checkpoint.load(options)
    assert source.pipeline
    genuine = source.pipeline()

    def ask(inputs: Any, parameters: Any) -> Any:
        return [change(entry) for entry in genuine(inputs, parameters)]

    with pytest.raises(PrepareError, match=message):
        prepare(options, source=replace(source, pipeline=lambda: ask))

    assert not (tmp_path / "out").exists()


def test_a_user_s_inputs_are_compared_too_where_a_pipeline_takes_them(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(
        '{"inputs": "a good day", "parameters": {"candidate_labels": "good, bad"}}\n'
        '{"sequences": "a bad day", "labels": ["good", "bad"]}\n'
    )

    _, spec = made(tmp_path, "zero-shot-classification", inputs=own)

    assert (
        spec.provenance["difference"]["inputs"],
        spec.provenance["difference"]["pipeline"]["inputs"],
    ) == (15, 14)
