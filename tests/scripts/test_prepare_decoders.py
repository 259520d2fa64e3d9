"""Decoders that classify, and what a tokenizer's configuration says: as transformers' pipeline has
it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from packaging.version import Version

from onnxferry.scripts.prepare import Options, prepare
from onnxferry.scripts.prepare.sources import onnx_file
from onnxferry.scripts.prepare.sources.huggingface import transformers_model
from onnxferry.scripts.prepare.sources.inspection.inspection import inspect
from onnxferry.system.errors import PrepareError, UsageError
from tests import weights
from tests.scripts import checkpoints
from tests.scripts.sentence_folders import TEXTS, ask, decoder, served, source

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
OLDER = Version(transformers.__version__).major < 5
CLASSIFIER = "AutoModelForSequenceClassification"
NAMES = checkpoints.named(*checkpoints.LABELS)


def rewritten(path: Path, **changes: Any) -> None:
    """A JSON file with `changes`; None takes a key away."""
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))


def without_padding(folder: Path) -> None:
    """No padding token in the tokenizer's files, nor one of a usual name."""
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<pad>", "<fill>"))
    rewritten(folder / "tokenizer_config.json", pad_token=None, added_tokens_decoder=None)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)


def pipeline(folder: Path, length: int) -> Any:
    """transformers' own, for one text at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = length
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    ask_one = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    return lambda text: ask_one(text, top_k=None, truncation=True)


def scores(answer: Any) -> dict[str, float]:
    return {row["label"]: row["score"] for row in answer}


def same(folder: Path, out: Path, texts: Any = TEXTS, **options: Any) -> dict[str, Any]:
    """Both classify `texts` alike, alone and together. Gives the settings."""
    found = source(folder, **options)
    ours, theirs = served(found, out), pipeline(folder, found.settings["max_length"])
    together = ask(ours, texts, top_k=None)
    for text, answer in zip(texts, together, strict=True):
        assert scores(answer) == pytest.approx(scores(theirs(text)), abs=1e-5)
    assert [ask(ours, text, top_k=None) for text in texts] == together
    return dict(found.settings)


@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_a_decoder_without_a_padding_token_classifies(tmp_path: Path, family: str) -> None:
    folder = decoder(tmp_path / "model", family, CLASSIFIER, **NAMES)
    without_padding(folder)
    found = same(folder, tmp_path / "out")
    assert found["pad_token_id"] is None
    assert found["max_length"] == 64


@pytest.mark.parametrize("form", ["rope_theta", "rope_parameters"])
def test_rotary_positions_turn_as_fast_as_either_version_saved_them(
    tmp_path: Path, form: str
) -> None:
    """By the numbers themselves: an older pipeline would pass over the same key."""
    folder = decoder(tmp_path / "model", "qwen3", CLASSIFIER, **NAMES)
    how = {"rope_type": "default", "rope_theta": 1e6}
    saved = {"rope_theta": (1e6, None, "4.57.6"), "rope_parameters": (None, how, "5.24.0")}
    theta, parameters, version = saved[form]
    rewritten(
        folder / "config.json",
        rope_theta=theta,
        rope_parameters=parameters,
        transformers_version=version,
    )
    if form == "rope_parameters" and OLDER:
        with pytest.raises(UsageError, match=r"saved by transformers 5.*'transformers>=5,<6'"):
            inspect(Options(str(folder), tmp_path / "out"))
        return
    same(folder, tmp_path / "out")
    config = transformers_model.read_config(folder)
    model = transformers_model.load(folder, config, "text-classification", None)
    frequencies = model.model.rotary_emb.inv_freq.tolist()
    assert frequencies == pytest.approx([1e6 ** (-i / 4) for i in range(4)])


def test_the_padding_token_may_be_named_in_the_configuration_alone(tmp_path: Path) -> None:
    folder = decoder(tmp_path / "model", "gpt2", CLASSIFIER, **NAMES, pad_token_id=7)
    without_padding(folder)
    assert same(folder, tmp_path / "out")["pad_token_id"] == 7


def test_the_padding_token_may_be_named_by_the_user(tmp_path: Path) -> None:
    folder = decoder(tmp_path / "model", "gpt2", CLASSIFIER, **NAMES)
    without_padding(folder)
    settings = tmp_path / "settings.json"
    settings.write_text('{"pad_token_id": 1}')
    assert same(folder, tmp_path / "out", settings=settings)["pad_token_id"] == 1


def test_a_padding_token_that_ends_every_text_is_the_models_choice(tmp_path: Path) -> None:
    """Where the configuration names it, the head reads the token before; else the end itself."""
    folder = decoder(tmp_path / "model", "gpt2", CLASSIFIER, **NAMES)
    rewritten(folder / "tokenizer_config.json", pad_token="<end>")  # noqa: S106
    assert same(folder, tmp_path / "out")["pad_token_id"] is None
    rewritten(folder / "config.json", pad_token_id=0)
    assert same(folder, tmp_path / "configured")["pad_token_id"] == 0


def test_a_classifier_reads_the_end_of_a_long_text_as_its_tokenizer_does(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "model", "text-classification")
    rewritten(folder / "tokenizer_config.json", truncation_side="left")
    texts = ["good day " * 80 + "she sings", "bad day " * 80 + "he sings", "good"]
    assert same(folder, tmp_path / "out", texts)["truncation_side"] == "left"


def test_pairs_without_type_ids_are_as_transformers_reads_them(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "model", "text-classification")
    names = ["input_ids", "attention_mask"]
    rewritten(folder / "tokenizer_config.json", model_input_names=names)
    pairs = [{"text": "good day", "text_pair": "she sings"}, {"text": "a", "text_pair": "very bad"}]
    assert same(folder, tmp_path / "out", pairs)["token_type_ids"] is False


def test_a_question_without_type_ids_gets_its_span(tmp_path: Path) -> None:
    """By the model itself: the pipeline is gone from transformers 5."""
    import torch

    folder = checkpoints.bert(tmp_path / "model", "question-answering")
    names = ["input_ids", "attention_mask"]
    rewritten(folder / "tokenizer_config.json", model_input_names=names)
    question, context = "who sings", "dolly rebecca parton was born in 1946 and she sings"
    answer = ask(
        served(source(folder), tmp_path / "out"),
        {"question": question, "context": context},
        max_answer_len=3,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    fed = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = fed.pop("offset_mapping")[0].tolist()
    assert set(fed) == set(names)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        start, end = (logits[0] for logits in model(**fed).to_tuple()[:2])
    first = fed["input_ids"][0].tolist().index(tokenizer.sep_token_id) + 1
    last = len(offsets) - 1  # the closing special token
    spans = [(i, j) for i in range(first, last) for j in range(i, min(i + 3, last))]
    best = max(spans, key=lambda span: start[span[0]] + end[span[1]])
    assert (answer["start"], answer["end"]) == (offsets[best[0]][0], offsets[best[1]][1])


def test_prepare_compares_answers_to_questions_with_the_source_model(tmp_path: Path) -> None:
    """From text to answer; so a setting of the folder that is overlooked is seen."""
    folder = checkpoints.bert(tmp_path / "model", "question-answering")
    weights.fill_files(folder, 0.3)
    options = checkpoints.as_exported(str(folder), tmp_path / "out")
    found = prepare(options).provenance["difference"]["pipeline"]
    assert found["inputs"] >= 8
    assert (found["agreement"], found["max_abs"] < 1e-4) == (1, True)
    loaded = source(folder)
    wrong = replace(loaded, settings={**loaded.settings, "token_type_ids": False})
    with pytest.raises(PrepareError, match="what is served is not what"):
        prepare(options, source=wrong)


def test_windows_from_the_end_are_refused(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "model", "question-answering")
    rewritten(folder / "tokenizer_config.json", truncation_side="left")
    with pytest.raises(UsageError, match="truncation_side is left"):
        source(folder)


def test_a_given_graph_is_fed_as_its_tokenizer_says(tmp_path: Path) -> None:
    """It takes type ids, which the tokenizer does not give: zeros, as the model makes them."""
    folder = checkpoints.bert(tmp_path / "model", "text-classification")
    rewritten(
        folder / "tokenizer_config.json",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    graph = tmp_path / "model.onnx"
    source(folder).export(graph)
    names = ["input_ids", "attention_mask"]
    rewritten(folder / "tokenizer_config.json", model_input_names=names)
    task = "text-classification"
    found = onnx_file.load(Options(str(graph), tmp_path / "o", task=task, tokenizer=folder))
    assert found.settings["token_type_ids"] is False
    scorer, theirs = served(found, tmp_path / "out"), pipeline(folder, 128)
    assert {t.name for t in scorer.spec.inputs} == {*names, "token_type_ids"}
    pair = {"text": "good day", "text_pair": "she sings"}
    assert scores(ask(scorer, [pair], top_k=None)[0]) == pytest.approx(
        scores(theirs(pair)), abs=1e-5
    )
