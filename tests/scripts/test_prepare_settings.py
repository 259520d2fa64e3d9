"""Settings: derived as transformers' pipelines behave, overridden by the user, refused where they
cannot be kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.prepare.sources.settings import labels
from onnxferry.scripts.prepare.sources.settings.image_settings import (
    image_settings,
    input_size,
    is_image_task,
)
from onnxferry.scripts.prepare.sources.settings.text_settings import text_settings
from onnxferry.scripts.prepare.sources.settings.user_settings import read_user_settings
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.scripts.prepare.sources.user_inputs import samples
from onnxferry.system.errors import UsageError

pytestmark = pytest.mark.toolchain

TOKENIZER = TextTokenizer("{}", 512, 0, 0, "right")
BERT = {"model_type": "bert", "max_position_embeddings": 512}
PROCESSOR = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.2] * 3}


def settings(task: str, config: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    return text_settings(task, TOKENIZER, BERT if config is None else config, given)


def test_question_answering_reads_contexts_as_the_pipeline_does() -> None:
    assert settings("question-answering") == {
        "max_length": 512,
        "doc_stride": 128,
        "max_answer_length": 15,
        "pad_token_id": 0,
        "pad_token_type_id": 0,
        "padding_side": "right",
    }


def test_a_shorter_model_gets_shorter_windows() -> None:
    assert settings("question-answering", max_length=64)["doc_stride"] == 32


def test_a_long_question_is_not_refused() -> None:
    """The pipeline takes it; a limit of its own is for whoever sets max_question_length."""
    assert "max_question_length" not in settings("question-answering")


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (BERT, 512),
        ({}, 512),
        ({"model_type": "bert", "max_position_embeddings": 128}, 128),
        ({"model_type": "roberta", "max_position_embeddings": 258, "pad_token_id": 1}, 256),
        ({"model_type": "modernbert", "max_position_embeddings": 8192}, 512),
    ],
)
def test_the_length_is_what_model_and_tokenizer_allow(config: dict[str, Any], length: int) -> None:
    assert settings("text-classification", config)["max_length"] == length


def test_a_length_beyond_the_model_s_positions_is_refused() -> None:
    with pytest.raises(
        UsageError, match="max_length is 1024, but the model has embeddings for 512 positions"
    ):
        settings("text-classification", max_length=1024)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"id2label": {0: "a", 1: "b"}}, "single_label_classification"),
        ({"id2label": {0: "a"}}, "multi_label_classification"),
        ({"id2label": {0: "a"}, "problem_type": "regression"}, "regression"),
    ],
)
def test_the_problem_type_is_the_pipeline_s(config: dict[str, Any], problem: str) -> None:
    assert settings("text-classification", BERT | config)["problem_type"] == problem


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"n_positions": 64}, 64),
        ({"model_type": "gpt2", "n_ctx": 64}, 64),
        ({"max_seq_len": 64}, 64),
        ({"model_type": "t5", "n_positions": 64}, 512),  # its positions are relative
        ({"max_position_embeddings": -1}, 512),
    ],
)
def test_positions_have_other_names_in_other_families(config: dict[str, Any], length: int) -> None:
    assert settings("text-classification", config)["max_length"] == length


def test_what_only_the_tokenizers_configuration_says_is_carried_over() -> None:
    found = settings("text-classification")
    assert not found.keys() & {"truncation_side", "token_type_ids", "split_special_tokens"}
    inputs = ("input_ids", "attention_mask")
    tokenizer = replace(TOKENIZER, inputs=inputs, truncation_side="left")
    tokenizer = replace(tokenizer, split_special_tokens=True)
    found = text_settings("text-classification", tokenizer, BERT, {})
    assert found["truncation_side"] == "left"
    assert found["token_type_ids"] is False
    assert found["split_special_tokens"] is True


def test_windows_from_the_end_are_refused() -> None:
    tokenizer = replace(TOKENIZER, truncation_side="left")
    with pytest.raises(UsageError, match="windows are read from the start"):
        text_settings("question-answering", tokenizer, BERT, {})
    given = {"truncation_side": "right"}
    assert text_settings("question-answering", tokenizer, BERT, given)["max_length"] == 512


ENDS = json.dumps({"post_processor": {"special_tokens": {"</s>": {"id": "</s>", "ids": [2]}}}})


@pytest.mark.parametrize(
    ("task", "tokenizer", "config", "given", "found"),
    [
        ("text-classification", 4, {}, {}, 4),
        ("text-classification", 4, {"pad_token_id": 9}, {}, 9),  # what the head looks for
        ("text-classification", None, {"pad_token_id": 9}, {}, 9),
        ("text-classification", None, {"pad_token_id": 9}, {"pad_token_id": 7}, 7),
        ("text-classification", None, {}, {"pad_token_id": 7}, 7),
        ("text-classification", 4, {}, {"pad_token_id": None}, None),
        ("text-classification", 4, {"pad_token_id": -1, "vocab_size": 9}, {}, 4),
        ("text-classification", 4, {"pad_token_id": 9, "vocab_size": 9}, {}, 4),
        ("text-classification", None, {}, {}, None),
        ("feature-extraction", 9, {"vocab_size": 9}, {}, None),  # beyond the embeddings
        ("text-classification", 2, {}, {}, None),  # the token that ends every text
        ("text-classification", 2, {"pad_token_id": 2}, {}, 2),  # but as the model says
        ("feature-extraction", 2, {}, {}, 2),  # where the mask tells
    ],
)
def test_one_resolution_of_the_padding_token(
    task: str, tokenizer: int | None, config: Any, given: Any, found: int | None
) -> None:
    of_tokenizer = replace(TOKENIZER, json=ENDS, pad_token_id=tokenizer)
    assert text_settings(task, of_tokenizer, config, given)["pad_token_id"] == found


def test_a_padding_token_that_the_model_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="pad_token_id is 9, but the model has embeddings for 9"):
        settings("text-classification", {"vocab_size": 9}, pad_token_id=9)


@pytest.mark.parametrize(
    "processor",
    [
        {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
        {"type": "Sequence", "processors": [json.loads(ENDS)["post_processor"]]},
    ],
)
def test_the_end_token_is_found_in_every_kind_of_processor(processor: Any) -> None:
    made = replace(TOKENIZER, json=json.dumps({"post_processor": processor}), pad_token_id=2)
    assert text_settings("text-classification", made, {}, {})["pad_token_id"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"max_lenght": 12}',
            "unknown key.s. max_lenght for text-classification; known: max_length, ",
        ),
        ("[1]", "expected a JSON object, got list"),
        ("{", "not readable as JSON"),
        ('{"max_length": "long"}', "'max_length' must be an integer, got a string"),
        ('{"max_length": 7}', "'max_length' must be at least 8 tokens, got 7"),
        ('{"pad_token_id": "[PAD]"}', "'pad_token_id' must be an integer"),
        ('{"problem_type": "multi"}', "'problem_type' must be one of multi_label_classification"),
    ],
)
def test_a_settings_file_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"--settings .*{message}"):
        read_user_settings(path, "text-classification")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preprocess": 3}, "'preprocess' must be a list of steps"),
        ({"image_mean": [0.5, 0.5]}, "'image_mean' must be a list of three numbers"),
        ({"rescale_factor": True}, "'rescale_factor' must be a number"),
        ({"top_k": 0}, "'top_k' must be between 1 and"),
    ],
)
def test_a_setting_of_another_type_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=message):
        read_user_settings(tmp_path / "settings.json", "image-classification")


def test_null_leaves_a_setting_as_it_is_derived(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"max_length": null, "top_k": null}')
    assert read_user_settings(tmp_path / "settings.json", "text-classification") == {"top_k": None}


@pytest.mark.parametrize(
    ("processor", "steps"),
    [
        ({}, [{"op": "resize", "size": [224, 224], "resample": "bilinear"}]),
        (
            {
                "size": {"shortest_edge": 256},
                "resample": 3,
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            [
                {"op": "resize_shortest", "size": 256, "resample": "bicubic"},
                {"op": "center_crop", "size": [224, 224]},
            ],
        ),
        (
            {"size": {"shortest_edge": 224}, "crop_pct": 0.875},
            [
                {"op": "resize_shortest", "size": 256, "resample": "bilinear"},
                {"op": "center_crop", "size": [224, 224]},
            ],
        ),
        (
            {"size": {"shortest_edge": 384}, "crop_pct": 0.875},
            [{"op": "resize", "size": [384, 384], "resample": "bilinear"}],
        ),
        ({"do_resize": False}, []),
        (
            {"size": {"shortest_edge": 224}, "image_processor_type": "LevitImageProcessor"},
            [{"op": "resize_shortest", "size": 256, "resample": "bilinear"}],
        ),
    ],
)
def test_image_processors_become_steps(
    processor: dict[str, Any], steps: list[dict[str, Any]]
) -> None:
    found = image_settings(PROCESSOR | processor, {})
    assert found["preprocess"] == steps
    assert (found["rescale_factor"], found["image_mean"], found["top_k"]) == (1 / 255, [0.5] * 3, 5)


def test_an_image_processor_without_normalising_leaves_the_pixels() -> None:
    found = image_settings(PROCESSOR | {"do_normalize": False, "do_rescale": False}, {})
    assert (found["rescale_factor"], found["image_mean"], found["image_std"]) == (
        1,
        [0.0] * 3,
        [1.0] * 3,
    )


@pytest.mark.parametrize(
    ("processor", "mean"),
    [
        ({"image_mean": 0.25, "image_std": 0.25}, [0.25] * 3),
        ({"image_mean": (0.5, 0.25, 1.0)}, [0.5, 0.25, 1.0]),
        ({"image_mean": [0.25], "image_std": [0.5], "num_channels": 1}, [0.25]),
        ({"image_mean": 0.25, "image_std": 0.5, "num_channels": 1}, [0.25]),
        ({"num_channels": 1}, [0.5]),
        ({"num_channels": 1, "do_normalize": False}, [0.0]),
    ],
)
def test_a_mean_has_a_number_for_each_channel(processor: dict[str, Any], mean: list[float]) -> None:
    assert image_settings(PROCESSOR | processor, {})["image_mean"] == mean


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ({"num_channels": 1, "image_mean": [0.1, 0.2, 0.3]}, "takes 1 channel"),
        ({"image_mean": [0.1]}, r"image_mean is \[0.1\], and the model takes 3"),
        ({"num_channels": 4}, "the model takes 4 channels"),
        ({"do_grayscale": True}, "uses do_grayscale"),
    ],
)
def test_channels_that_do_not_fit_are_refused(processor: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        image_settings(PROCESSOR | processor, {})


@pytest.mark.parametrize(("normalises", "std"), [(True, 0.2 * 0.2), (False, 0.2)])
def test_the_deviation_divides_again_where_a_processor_says_so(
    normalises: bool, std: float
) -> None:
    found = image_settings(PROCESSOR | {"include_top": True, "do_normalize": normalises}, {})
    assert found["image_std"] == pytest.approx([std] * 3)


def test_an_image_processor_that_does_more_is_refused() -> None:
    with pytest.raises(UsageError, match="EfficientNetImageProcessor uses rescale_offset"):
        image_settings(
            PROCESSOR
            | {"rescale_offset": True, "image_processor_type": "EfficientNetImageProcessor"},
            {},
        )


def test_the_input_size_is_where_the_steps_end() -> None:
    steps = [{"op": "center_crop", "size": [20, 30]}, {"op": "resize_shortest", "size": 10}]
    assert input_size({"preprocess": steps[:1]}) == (20, 30)
    with pytest.raises(UsageError, match="must end at a fixed size"):
        input_size({"preprocess": steps[1:]})


@pytest.mark.parametrize(
    ("text", "names"), [("a\nb c\n", ("a", "b c")), ('["a", "b"]', ("a", "b"))]
)
def test_labels_are_lines_or_a_json_list(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "labels"
    path.write_text(text)
    assert labels.read(path, "image-classification") == names


@pytest.mark.parametrize("text", ["", "a\n\nb", '["a", 1]', '{"0": "a"}', "[a"])
def test_labels_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels"
    path.write_text(text)
    with pytest.raises(UsageError, match="--labels"):
        labels.read(path, "image-classification")


def test_labels_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"caf\xe9\n")
    with pytest.raises(UsageError, match="labels: is not UTF-8 text: line 1 holds the byte 0xe9"):
        labels.read(tmp_path / "labels", "image-classification")


@pytest.mark.parametrize(
    "task", [t for t in sorted(TASKS) if t != "tensors" and not is_image_task(t)]
)
def test_every_text_task_has_built_in_inputs(task: str) -> None:
    found = samples(task, None)
    lengths = [len(s.request.body) for s in found]
    assert len(found) >= 12
    assert max(lengths) > 8 * min(lengths)
    assert any(not s.request.body.isascii() for s in found)


def test_each_item_of_a_list_is_an_input_of_its_own(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(
        '{"inputs": "one"}\n\n{"inputs": ["two", "three\u2028"], "parameters": {"top_k": 1}}\n'
    )

    found = samples("text-classification", own)[-3:]

    assert [s.where for s in found] == [
        "own.jsonl line 1",
        "own.jsonl line 3 inputs[0]",
        "own.jsonl line 3 inputs[1]",
    ]
    assert json.loads(found[2].request.body) == {
        "inputs": "three\u2028",
        "parameters": {"top_k": 1},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no input"), ("{", "line 1: not readable as JSON"), ("3", "must be a request")],
)
def test_inputs_of_another_form_are_refused(tmp_path: Path, text: str, message: str) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(text)
    with pytest.raises(UsageError, match=message):
        samples("text-classification", own)
