"""Hugging Face folders: what is served gives the answers of transformers' own pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from onnxferry import scoring
from onnxferry.scoring import ModelSpec, Request, cpu
from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources.huggingface import transformers_model
from onnxferry.scripts.prepare.sources.settings import image_settings
from onnxferry.scripts.prepare.sources.user_inputs import Sample, read_golden
from onnxferry.scripts.prepare.verification import golden as golden_requests
from onnxferry.system.errors import PrepareError, UsageError
from tests import tiny, weights
from tests.golden.questions import GoldenAnswers
from tests.scripts import checkpoints
from tests.scripts.checkpoints import CPU, INT8, as_exported

pytestmark = pytest.mark.toolchain


def ask(folder: Path, payload: Any) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def test_a_question_answering_folder_answers_as_the_pipeline_does(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "question-answering")
    weights.fill_files(source, 0.3)

    spec = prepare(as_exported(str(source), tmp_path / "out"))

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "model.onnx",
        "model_spec.json",
        "report.md",
        "tokenizer.json",
    ]
    assert (spec.task, spec.settings["max_length"], spec.settings["doc_stride"]) == (
        "question-answering",
        128,
        64,
    )
    (case,) = GoldenAnswers.read("tiny").cases
    (expected,) = case.answers
    got = ask(tmp_path / "out", {"inputs": case.inputs[0]})
    assert got == {**expected, "score": pytest.approx(expected["score"], abs=1e-5)}


def test_the_spec_on_disk_is_the_whole_record(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")

    spec = prepare(as_exported(str(source), tmp_path / "out", name="moods"))

    assert scoring.ModelSpec.read(tmp_path / "out") == spec
    assert spec.name == "moods"
    assert spec.labels == checkpoints.LABELS
    assert [t.name for t in spec.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert spec.outputs[0].shape[-1] == 3
    assert spec.opset == 17
    assert spec.provenance["difference"]["inputs"] == 61
    assert spec.provenance["difference"]["agreement"] == 1
    assert 0 < spec.provenance["difference"]["max_abs"] < 1e-4
    assert spec.provenance["source"]["architecture"] == "BertForSequenceClassification"
    assert set(spec.provenance["tools"]) >= {"torch", "transformers", "onnx", "onnxruntime"}
    assert set(spec.files) == {"model.onnx", "tokenizer.json"}
    assert str(tmp_path) not in (tmp_path / "out" / "model_spec.json").read_text()


def test_the_golden_answers_are_what_the_model_directory_answers(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    golden = tmp_path / "golden"
    golden.mkdir()
    (golden / "b.json").write_text('{"inputs": ["not very good", "bad"]}')
    (golden / "a.json").write_text('{"inputs": "what a great day"}')
    options = as_exported(str(source), tmp_path / "out", golden=golden, golden_tolerance=0.003)

    spec = prepare(options)

    assert spec.golden
    assert ModelSpec.read(tmp_path / "out") == spec
    assert [(g.name, g.tolerance, g.cpu) for g in spec.golden.all] == [
        (name, 0.003, cpu.kind() or "") for name in ("a.json", "b.json")
    ]
    for each in spec.golden.all:
        assert each.request.body == (golden / each.name).read_bytes()
        answer = scoring.load(tmp_path / "out").handle(each.request)
        assert json.loads(answer.body) == each.answer


def test_a_golden_request_that_the_model_refuses_is_named(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    asked = [Sample(Request(b'{"inputs": "good"}'), "a.json"), Sample(Request(b"{}"), "b.json")]
    with pytest.raises(PrepareError, match=r"golden request b\.json got status 400"):
        golden_requests.answered(folder, asked, 1e-4, "", {})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 files; a golden folder holds 1 to 20 requests"),
        ({f"{i}.json": b"{}" for i in range(21)}, "21 files; a golden folder holds 1 to 20"),
        ({"a.json": b"{}", "notes.txt": b""}, "notes.txt: suffix '.txt' is unknown"),
        ({f"{i}.json": b" " * 600_000 for i in "ab"}, "1,200,000 bytes; at most 1,000,000"),
    ],
)
def test_a_golden_folder_is_small(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_golden(tmp_path)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({}, "single_label_classification"),
        ({"problem_type": "multi_label_classification"}, "multi_label_classification"),
    ],
)
def test_a_classifier_scores_as_the_pipeline_does(
    tmp_path: Path, config: dict[str, Any], problem: str
) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification", **config)

    spec = prepare(as_exported(str(source), tmp_path / "out"))

    assert spec.settings["problem_type"] == problem
    expected = transformers.pipeline("text-classification", model=str(source))(
        "a very good day", top_k=None
    )
    got = ask(tmp_path / "out", {"inputs": "a very good day", "parameters": {"top_k": None}})
    assert [e["label"] for e in got] == [e["label"] for e in expected]
    assert [e["score"] for e in got] == pytest.approx([e["score"] for e in expected], abs=1e-5)


def test_an_embedding_folder_pools_as_sentence_transformers_would(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "feature-extraction")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds.items())
    ]
    (source / "modules.json").write_text(json.dumps(modules))
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    (source / "1_Pooling").mkdir()
    modes = {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}
    pooling = {"word_embedding_dimension": 32, **modes}
    (source / "1_Pooling" / "config.json").write_text(json.dumps(pooling))

    spec = prepare(as_exported(str(source), tmp_path / "out"))

    assert {k: spec.settings[k] for k in ("pooling", "normalize", "max_length")} == {
        "pooling": "mean",
        "normalize": True,
        "max_length": 64,
    }
    vector = ask(tmp_path / "out", {"inputs": "good day"})
    assert sum(v * v for v in vector) == pytest.approx(1, abs=1e-5)


def test_token_vectors_without_pooling_are_the_pipeline_s(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "feature-extraction")

    prepare(as_exported(str(source), tmp_path / "out"))

    expected = transformers.pipeline("feature-extraction", model=str(source))("good day")
    got = ask(tmp_path / "out", {"inputs": "good day"})
    assert len(got[0]) == len(expected[0]) == 4
    assert got[0][1] == pytest.approx(expected[0][1], abs=1e-4)


def test_a_vision_folder_brings_its_own_preprocessing(tmp_path: Path) -> None:
    source = checkpoints.vit(tmp_path / "vit")

    spec = prepare(as_exported(str(source), tmp_path / "out"))

    assert spec.task == "image-classification"
    assert spec.settings["preprocess"] == [
        {"op": "resize", "size": [32, 32], "resample": "bilinear"}
    ]
    assert spec.settings["image_mean"] == [0.5, 0.5, 0.5]
    assert spec.golden
    assert {entry["label"] for entry in spec.golden.answer} == set(checkpoints.LABELS)


def test_preprocessing_that_cannot_be_said_in_steps_is_refused(tmp_path: Path) -> None:
    """As of a processor that does something which its configuration does not tell."""
    processor = transformers_model.image_processor(checkpoints.vit(tmp_path / "vit"))
    told = {**processor.to_dict(), "image_mean": [0.1, 0.5, 0.5]}
    settings = image_settings.image_settings(told, {})

    what = r"do not make its pixels: .*; write the preprocessing into --settings FILE"
    with pytest.raises(PrepareError, match=what):
        image_settings.check_pixels(settings, processor)


def test_an_adapter_is_merged(tmp_path: Path) -> None:
    bare = checkpoints.bert(tmp_path / "base", "feature-extraction")
    base = weights.fill_files(bare, 0.3)
    adapter = weights.fill_files(checkpoints.adapter(base, tmp_path / "adapter"), 0.3)

    spec = prepare(as_exported(str(base), tmp_path / "out", adapter=adapter))

    (case,) = GoldenAnswers.read("adapted").cases
    (expected,) = case.answers
    got = ask(tmp_path / "out", {"inputs": case.inputs[0]})
    assert got == {**expected, "score": pytest.approx(expected["score"], abs=1e-5)}
    assert spec.provenance["source"]["architecture"] == "BertForQuestionAnswering"
    assert spec.provenance["source"]["adapter"]["name"] == "adapter"


def test_an_adapter_s_head_takes_its_labels_from_the_file(tmp_path: Path) -> None:
    base = checkpoints.bert(tmp_path / "base", "feature-extraction")
    adapter = checkpoints.adapter(
        base, tmp_path / "adapter", "BertForSequenceClassification", "classifier"
    )
    labels, settings = tmp_path / "labels.txt", tmp_path / "settings.json"
    labels.write_text("no\nyes\n")
    settings.write_text('{"problem_type": "multi_label_classification"}')

    spec = prepare(
        as_exported(str(base), tmp_path / "out", adapter=adapter, labels=labels, settings=settings)
    )

    assert spec.task == "text-classification"
    assert spec.labels == ("no", "yes")
    assert len(ask(tmp_path / "out", {"inputs": "good day", "parameters": {"top_k": None}})) == 2


def test_an_adapter_s_head_without_its_labels_is_refused(tmp_path: Path) -> None:
    base = checkpoints.bert(tmp_path / "base", "feature-extraction")
    adapter = checkpoints.adapter(
        base, tmp_path / "adapter", "BertForSequenceClassification", "classifier"
    )
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")

    with pytest.raises(PrepareError, match="Does --labels name as many labels"):
        prepare(as_exported(str(base), tmp_path / "out", adapter=adapter, labels=labels))


def test_an_adapter_of_another_base_model_is_refused(tmp_path: Path) -> None:
    deeper = checkpoints.bert(tmp_path / "deeper", "feature-extraction")
    adapter = checkpoints.adapter(deeper, tmp_path / "adapter")
    config = json.loads((deeper / "config.json").read_text())
    (deeper / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))

    with pytest.raises(
        PrepareError, match=r"--adapter .*does not fit BertForQuestionAnswering.*another base model"
    ):
        prepare(as_exported(str(deeper), tmp_path / "out", adapter=adapter))


def test_a_head_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    base = checkpoints.bert(tmp_path / "base", "feature-extraction")

    with pytest.raises(
        PrepareError, match=r"no trained weights for qa_outputs\.bias, qa_outputs\.weight"
    ):
        prepare(as_exported(str(base), tmp_path / "out", task="question-answering"))

    assert [p.name for p in tmp_path.iterdir()] == ["base"]


def test_labels_that_do_not_fit_the_model_are_refused(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    labels = tmp_path / "labels.json"
    labels.write_text('["one", "two"]')

    with pytest.raises(UsageError, match=r"--labels .*labels.json: 2 labels, but the model has 3"):
        prepare(as_exported(str(source), tmp_path / "out", labels=labels))


def test_the_same_source_gives_the_same_files(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "question-answering")
    free = {"min_agreement": 0, "max_metric_drop": 1}

    for name in ("one", "two"):
        out = tmp_path / name
        prepare(as_exported(str(source), out, name="same", variant=INT8, cpu=CPU, **free))

    files = [
        {p.name: p.read_bytes() for p in (tmp_path / name).glob("[mt]o*")}
        for name in ("one", "two")
    ]
    timed = [json.loads(found.pop("model_spec.json")) for found in files]
    assert set(files[0]) == {"model.onnx", "tokenizer.json"}
    assert files[0] == files[1]
    tried = [spec["provenance"].pop("variants") for spec in timed]
    assert [len(variants) for variants in tried] == [2, 2]
    assert timed[0] == timed[1]


@pytest.mark.parametrize("broken", ["bert/model", "adapter/adapter_model"])
def test_truncated_weights_are_named(tmp_path: Path, broken: str) -> None:
    base = checkpoints.bert(tmp_path / "bert", "question-answering")
    adapter = checkpoints.adapter(base, tmp_path / "adapter")
    with (tmp_path / f"{broken}.safetensors").open("rb+") as weights:
        weights.truncate(1000)

    named = str(tmp_path / broken.partition("/")[0])
    with pytest.raises((PrepareError, UsageError), match=named):
        prepare(as_exported(str(base), tmp_path / "out", adapter=adapter))
