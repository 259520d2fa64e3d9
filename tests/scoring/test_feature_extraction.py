"""Embeddings: token vectors as transformers gives them, or pooled as sentence-transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tokenizers import normalizers, processors

from onnxferry import scoring
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import MODEL_FILE
from onnxferry.scoring.tasks.feature_extraction import FeatureExtraction
from tests import tiny


def ask(folder: Path, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scoring.load(folder).handle(scoring.Request(body)).body)


def test_without_pooling_each_token_has_its_vector(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    assert ask(folder, "good day") == [[[1, 1], [3, 0], [0, 4], [0, 0]]]
    # no padding is left in it
    assert ask(folder, ["day", "good day"])[0] == [[[1, 1], [0, 4], [0, 0]]]


@pytest.mark.parametrize(
    ("pooling", "vector"), [("mean", [1, 1.25]), ("cls", [1, 1]), ("max", [3, 4])]
)
def test_pooling_makes_one_vector_a_text(tmp_path: Path, pooling: str, vector: list[float]) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling=pooling)
    assert ask(folder, "good day") == vector
    assert ask(folder, ["good day", "good day good day"])[0] == vector


def test_normalize_gives_length_one(tmp_path: Path) -> None:
    assert ask(
        tiny.feature_extraction(tmp_path, pooling="max", normalize=True), "good day"
    ) == pytest.approx([0.6, 0.8])


def test_parameters_override_the_model(tmp_path: Path) -> None:
    assert ask(tiny.feature_extraction(tmp_path, pooling="mean"), "good day", pooling="cls") == [
        1,
        1,
    ]


def test_an_unknown_pooling_in_the_spec_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(
        scoring.ScoringError, match=r"settings.pooling.* must be one of none, mean, cls, max"
    ):
        scoring.load(tiny.feature_extraction(tmp_path, pooling="median"))


def test_an_answer_of_too_many_numbers_is_refused_before_it_is_made(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    spec, session = scoring.ModelSpec.read(folder), Session(folder / MODEL_FILE)
    scorer = scoring.Scorer(spec, FeatureExtraction(spec, session, folder, max_numbers=19))
    response = scorer.handle(scoring.Request(b'{"inputs": ["good day", "good day good day"]}'))
    assert response.status == 413
    assert "more than 19 numbers" in json.loads(response.body)["error"]["message"]
    assert scorer.handle(scoring.Request(b'{"inputs": ["good day"]}')).status == 200


def test_a_text_without_any_token_is_refused(tmp_path: Path) -> None:
    """Not every tokenizer frames a text with special tokens; an empty batch would be the model's
    failure."""
    folder = tiny.feature_extraction(tmp_path)
    bare = tiny.tokenizer()
    bare.normalizer = normalizers.Replace("x", "")
    bare.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B:1", special_tokens=[]
    )
    bare.save(str(folder / "tokenizer.json"))
    response = scoring.load(folder).handle(scoring.Request(b'{"inputs": ["good", "x"]}'))
    assert response.status == 400
    assert "'inputs[1]' holds no character" in json.loads(response.body)["error"]["message"]


def two_outputs(folder: Path, **settings: Any) -> Path:
    """A graph that also pools by itself: its last output is the first token's vector, doubled."""
    tiny.feature_extraction(folder, **settings)
    model = onnx.load(folder / "model.onnx")
    model.graph.node.append(
        onnx.helper.make_node(
            "ReduceSum", ["last_hidden_state", "one"], ["sentence_embedding"], keepdims=0
        )
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    model.graph.output.insert(
        0,
        onnx.helper.make_tensor_value_info(
            "sentence_embedding", onnx.TensorProto.FLOAT, ["batch", 2]
        ),
    )
    onnx.save(model, folder / "model.onnx")
    return folder


def test_a_graphs_own_sentence_embedding_is_what_it_answers(tmp_path: Path) -> None:
    folder = two_outputs(tmp_path)
    # a sum over the tokens; without padding, as one text fills its batch
    assert ask(folder, "good day good") == [7, 5]
    assert ask(folder, "good day", pooling="cls") == [1, 1]
    assert ask(folder, "good day", pooling="none") == [[[1, 1], [3, 0], [0, 4], [0, 0]]]
    assert ask(folder, "good day good", normalize=True) == pytest.approx(
        list(np.array([7, 5]) / np.hypot(7, 5))
    )


def test_a_pooling_that_the_graph_does_not_give_is_refused(tmp_path: Path) -> None:
    error = ask(tiny.feature_extraction(tmp_path), "good", pooling="pooler_output")["error"]
    assert error["message"] == "'parameters.pooling' must be one of none, mean, cls, max"
    with pytest.raises(
        scoring.ScoringError,
        match="pooling 'pooler_output' is not what the graph gives: none, mean",
    ):
        scoring.load(tiny.feature_extraction(tmp_path, pooling="pooler_output"))


def test_the_tokenizers_parameters_are_taken(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    cut = ask(folder, "good day good", max_length=4)
    assert len(cut[0]) == 4
    assert (
        ask(folder, "good day good", tokenize_kwargs={"truncation": True, "max_length": 4}) == cut
    )
