"""Graphs that fix their batch, their length or both, name their inputs otherwise or take other
types answer as those of any shape do; what cannot fit is refused when the model is loaded."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxferry import scoring
from onnxferry.scoring.batching import Padding, TokenBatcher
from onnxferry.scoring.engine import Session
from onnxferry.scoring.tokenization import Tokens
from tests import graph_shapes, tiny
from tests.scoring.test_image_classification import picture

TEXTS: Mapping[str, Callable[..., Path]] = {
    "text-classification": tiny.text_classification,
    "feature-extraction": tiny.feature_extraction,
    "token-classification": tiny.token_classification,
    "zero-shot-classification": tiny.zero_shot_classification,
    "fill-mask": tiny.fill_mask,
    "question-answering": tiny.question_answering,
    "text-ranking": tiny.text_ranking,
    "sentence-similarity": tiny.sentence_similarity,
}
SHAPES: tuple[Mapping[str, int], ...] = (
    {"batch": 1},
    {"batch": 3},
    {"sequence": 24},
    {"batch": 1, "sequence": 24},
    {"batch": 3, "sequence": 24},
)


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    words = [word for word in tiny.WORDS if word != ","]
    return [" ".join(draw.choices(words, k=draw.choice([1, 2, 3, 5, 9, 30]))) for _ in range(count)]


def requests(task: str) -> list[Any]:
    """One item alone, and many at once."""
    asked: list[Any] = texts(7)
    if task == "question-answering":
        asked = [{"question": "who sings ?", "context": f"{t} rebecca {t}"} for t in asked]
    if task == "text-ranking":
        asked = [{"query": "good day", "documents": [text, *asked[:2]]} for text in asked]
    if task == "sentence-similarity":
        asked = [{"source_sentence": "good day", "sentences": [t, *asked[:2]]} for t in asked]
    if task == "fill-mask":
        asked = [f"{t[:20]} [MASK]" for t in asked]
    labels = {"parameters": {"candidate_labels": ["good", "bad day", "great"]}}
    more = labels if task == "zero-shot-classification" else {}
    return [{"inputs": inputs, **more} for inputs in (*asked, asked)]


def with_settings(folder: Path, **settings: Any) -> Path:
    path = folder / "model_spec.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "settings": {**spec["settings"], **settings}}))
    return folder


def answers(folder: Path, task: str, environment: Mapping[str, str] = {}) -> list[Any]:
    scorer = scoring.load(folder, environment)
    found = []
    for body in requests(task):
        response = scorer.handle(scoring.Request(json.dumps(body).encode()))
        assert response.status == 200, response.body
        found.append(json.loads(response.body))
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("task", TEXTS)
def test_a_graph_of_fixed_shape_answers_as_one_of_any(
    tmp_path: Path, task: str, shape: Mapping[str, int]
) -> None:
    free, fixed = (
        with_settings(TEXTS[task](tmp_path / name), max_length=24) for name in ("free", "fixed")
    )
    graph_shapes.fix(fixed, **shape)
    assert answers(fixed, task) == answers(free, task)


@pytest.mark.parametrize("names", [
    {"attention_mask": "input_mask"},
    {"input_ids": "input.1", "attention_mask": "attention_mask.1"},
    {"input_ids": "input_word_ids:0", "attention_mask": "INPUT_MASK:0"},
    {"input_ids": "serving_default_input_ids:0", "attention_mask": "serving_default_mask:0"},
], ids=str)  # fmt: skip
def test_inputs_of_other_names_are_known(tmp_path: Path, names: Mapping[str, str]) -> None:
    task, folder = "text-classification", tiny.text_classification(tmp_path)
    expected = answers(folder, task)
    assert answers(graph_shapes.rename(folder, names), task) == expected


def test_the_only_input_takes_the_ids_whatever_its_name(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    expected = answers(folder, "feature-extraction")
    assert (
        answers(graph_shapes.rename(folder, {"input_ids": "x"}), "feature-extraction") == expected
    )


@pytest.mark.parametrize("kind", [TensorProto.INT32, TensorProto.FLOAT])
def test_inputs_of_other_types_are_cast(tmp_path: Path, kind: int) -> None:
    task, folder = "text-classification", tiny.text_classification(tmp_path)
    expected = answers(folder, task)
    assert answers(graph_shapes.retype(folder, kind), task) == expected


def test_a_longer_max_length_than_the_graph_s_is_cut(tmp_path: Path) -> None:
    """Texts are truncated at the graph's length, as with a tokenizer of that length."""
    folder = graph_shapes.fix(tiny.text_classification(tmp_path / "a"), sequence=10)
    short = with_settings(tiny.text_classification(tmp_path / "b"), max_length=10)
    task = "text-classification"
    assert answers(folder, task) == answers(short, task)


def test_question_answering_cuts_its_windows_to_the_graph_s_length(tmp_path: Path) -> None:
    folder = graph_shapes.fix(tiny.question_answering(tmp_path, 200), batch=1, sequence=16)
    words = "it was a very good day " * 30
    body = {"inputs": {"question": "who sings ?", "context": f"{words} Rebecca {words}"}}
    response = scoring.load(folder).handle(scoring.Request(json.dumps(body).encode()))
    assert json.loads(response.body)["answer"] == "Rebecca"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda f: graph_shapes.fix(f, sequence=5), r"input_ids \[batch, 5\].*at least 8 tokens"),
        (lambda f: graph_shapes.rename(f, {"attention_mask": "mass"}), "needs input.s. mass"),
        (
            lambda f: graph_shapes.rename(f, {"attention_mask": "input.1"}),
            "cannot be told apart: input_ids as input_ids, input.1 as input_ids",
        ),
    ],
)
def test_a_graph_that_no_text_fits_is_refused_when_it_is_loaded(
    tmp_path: Path, change: Callable[[Path], Path], names: str
) -> None:
    with pytest.raises(scoring.ScoringError, match=names):
        scoring.load(change(tiny.text_classification(tmp_path)))


def echo(folder: Path, inputs: Mapping[str, Any], fixed: int | None = None) -> Session:
    """A graph that gives each of its inputs [batch, sequence] back as it came."""
    shape = ["batch", fixed or "sequence"]
    values = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in inputs]
    outputs = [helper.make_tensor_value_info(f"{n}_out", TensorProto.INT64, shape) for n in inputs]
    nodes = [helper.make_node("Identity", [n], [f"{n}_out"]) for n in inputs]
    model = helper.make_model(
        helper.make_graph(nodes, "echo", values, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    return Session(folder / "model.onnx")


def rows(session: Session, padding: Padding, lengths: tuple[int, ...]) -> list[list[list[int]]]:
    """Each sequence's row of every output."""
    sequences = [Tokens(np.arange(10, 10 + n), np.zeros(n, np.int64)) for n in lengths]
    batcher = TokenBatcher(session, padding, 64)
    return batcher.run(sequences, lambda row, _: [output.tolist() for output in row])


POSITIONS = ("input_ids", "attention_mask", "position_ids")


def test_positions_count_from_the_first_token_when_padded_on_the_right(tmp_path: Path) -> None:
    session = echo(tmp_path, dict.fromkeys(POSITIONS))
    assert rows(session, Padding(9), (3, 4)) == [
        [[10, 11, 12, 9], [1, 1, 1, 0], [0, 1, 2, 2]],
        [[10, 11, 12, 13], [1, 1, 1, 1], [0, 1, 2, 3]],
    ]


def test_positions_count_from_the_first_token_when_padded_on_the_left(tmp_path: Path) -> None:
    session = echo(tmp_path, dict.fromkeys(POSITIONS), fixed=8)
    assert rows(session, Padding(9, side="left"), (3,)) == [
        [[9, 9, 9, 9, 9, 10, 11, 12], [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 2]]
    ]


@pytest.mark.parametrize(
    ("inputs", "padding"),
    [
        (("input_ids",), Padding(9)),
        (("input_ids", "token_type_ids"), Padding(9)),
        (POSITIONS, Padding(9, side="left")),
        (POSITIONS, Padding(None)),
    ],
)
def test_nothing_is_padded_that_the_graph_could_see(
    tmp_path: Path, inputs: tuple[str, ...], padding: Padding
) -> None:
    """Without a mask padding would count as text; a graph may read the last position."""
    found = rows(echo(tmp_path, dict.fromkeys(inputs)), padding, (3, 4, 3, 1))
    assert [row[0] for row in found] == [[10, 11, 12], [10, 11, 12, 13], [10, 11, 12], [10]]


def test_token_vectors_begin_with_the_first_token_when_padded_on_the_left(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, padding_side="left")
    free = answers(folder, "feature-extraction")
    assert answers(graph_shapes.fix(folder, batch=2, sequence=16), "feature-extraction") == free


def test_a_token_that_the_model_does_not_know_is_the_client_s_to_leave_out(tmp_path: Path) -> None:
    """prepare refuses such a tokenizer; one may be changed later."""
    folder = tiny.text_classification(tmp_path)
    enlarged, size = tiny.tokenizer(), len(tiny.VOCABULARY)
    enlarged.add_tokens(["<new>"])
    enlarged.save(str(folder / "tokenizer.json"))
    scorer = scoring.load(folder)
    for inputs, status in (("good day", 200), (["good", "a <new> day"], 400), ("good", 200)):
        response = scorer.handle(scoring.Request(json.dumps({"inputs": inputs}).encode()))
        assert response.status == status
        if status == 400:
            message = json.loads(response.body)["error"]["message"]
            assert f"token with id {size}, and the model has embeddings for {size}" in message


def image_answers(folder: Path) -> list[Any]:
    """One picture alone, and eleven at once."""
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200), (90, 80, 70)]
    sent = [
        base64.b64encode(picture(colours[i % 4], size=(30 + i, 20))).decode() for i in range(11)
    ]
    scorer, found = scoring.load(folder), []
    for inputs in (*sent[:4], sent):
        response = scorer.handle(scoring.Request(json.dumps({"inputs": inputs}).encode()))
        assert response.status == 200, response.body
        found.append(json.loads(response.body))
    return found


@pytest.mark.parametrize("make", [tiny.object_detection, tiny.image_feature_extraction])
def test_other_tasks_of_pictures_for_a_graph_of_a_fixed_batch(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(tmp_path)
    expected = image_answers(folder)
    assert image_answers(graph_shapes.fix(folder, batch=3)) == expected


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("turned", [False, True])
def test_pictures_for_a_graph_of_a_fixed_batch(tmp_path: Path, batch: int, turned: bool) -> None:
    folder = tiny.image_classification(tmp_path)
    expected = image_answers(folder)
    graph_shapes.fix(folder, batch=batch)
    if turned:
        graph_shapes.channels_last(folder)
    assert image_answers(folder) == expected
    assert len({json.dumps(answer) for answer in expected[:4]}) == 4


@pytest.mark.parametrize(
    ("settings", "makes"),
    [
        ({"preprocess": [{"op": "resize", "size": [8, 8]}]}, r"makes \[3, 8, 8\]"),
        (
            {
                "preprocess": [
                    {"op": "resize", "size": [8, 8]},
                    {"op": "center_crop_fraction", "fraction": 0.75},
                ]
            },
            r"makes \[3, 6, 6\]",
        ),
        ({"image_mean": [0], "image_std": [1]}, r"makes \[1, 4, 4\]"),
    ],
)  # fmt: skip
def test_a_graph_of_other_sizes_than_the_preprocessing_makes_is_refused(
    tmp_path: Path, settings: Mapping[str, Any], makes: str
) -> None:
    folder = with_settings(tiny.image_classification(tmp_path), **settings)
    with pytest.raises(scoring.ScoringError, match=rf"pixel_values \[batch, 3, 4, 4\].*{makes}"):
        scoring.load(folder)


def test_a_picture_whose_shape_the_graph_does_not_take_is_refused(tmp_path: Path) -> None:
    """Where the preprocessing keeps a picture's shape, only the picture tells."""
    steps = [{"op": "resize_shortest", "size": 4}]
    scorer = scoring.load(with_settings(tiny.image_classification(tmp_path), preprocess=steps))
    for size, status in (((20, 20), 200), ((40, 20), 400)):
        response = scorer.handle(scoring.Request(picture((1, 2, 3), size=size), "image/png"))
        assert response.status == status
    expected = "the picture becomes [3, 4, 8], and the model takes [3, 4, 4]"
    assert expected in json.loads(response.body)["error"]["message"]
