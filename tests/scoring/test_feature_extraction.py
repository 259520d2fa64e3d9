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
    ("pooling", "vector"),
    [
        ("mean", [1, 1.25]),
        ("cls", [1, 1]),
        ("max", [3, 4]),
        ("mean_sqrt_len_tokens", [2, 2.5]),
        ("weightedmean", [0.7, 1.3]),  # of (1, 1), (3, 0), (0, 4), (0, 0), by 1, 2, 3, 4
        ("lasttoken", [0, 0]),
        (["cls", "max"], [1, 1, 3, 4]),
    ],
)
def test_pooling_makes_one_vector_a_text(
    tmp_path: Path, pooling: str | list[str], vector: list[float]
) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling=pooling)
    assert ask(folder, "good day") == pytest.approx(vector)
    assert ask(folder, ["good day", "good day good day"])[0] == pytest.approx(vector)


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
        scoring.ScoringError, match=r"settings.pooling.* must be one of none, cls, max, mean"
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
    known = "none, cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken"
    assert error["message"] == f"'parameters.pooling' must be one of {known}"
    with pytest.raises(
        scoring.ScoringError, match="pooling 'pooler_output' is not what the graph gives: none, cls"
    ):
        scoring.load(tiny.feature_extraction(tmp_path, pooling="pooler_output"))


def test_the_tokenizers_parameters_are_taken(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path)
    cut = ask(folder, "good day good", max_length=4)
    assert len(cut[0]) == 4
    assert (
        ask(folder, "good day good", tokenize_kwargs={"truncation": True, "max_length": 4}) == cut
    )


def test_several_poolings_need_one_vector_each(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling="mean")
    assert len(ask(folder, "good day", pooling=["mean", "lasttoken"])) == 4
    for pooling in (["mean", "none"], []):
        error = ask(folder, "good day", pooling=pooling)["error"]
        assert error["code"] == "invalid_value"
        assert "'parameters.pooling" in error["message"]


def test_dimensions_cut_a_vector_and_normalize_comes_after(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling="max")
    assert ask(folder, "good day", dimensions=1) == [3]
    assert ask(folder, "good day", dimensions=1, normalize=True) == [1]
    assert ask(folder, "good day", dimensions=2) == [3, 4]
    error = ask(folder, "good day", dimensions=3)["error"]
    assert error["message"] == "'parameters.dimensions' is 3; this model's vectors have 2"


def test_dimensions_of_the_spec_are_a_default(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling="max", dimensions=1)
    assert ask(folder, "good day") == [3]
    assert ask(folder, "good day", dimensions=2) == [3, 4]


PROMPTS = {"prompts": {"query": "good ", "STS": "very "}, "pooling": "max"}


def test_a_prompt_stands_before_each_text(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, **PROMPTS)
    assert ask(folder, "day") == [1, 4]
    assert ask(folder, ["day", "a"], prompt_name="query") == [[3, 4], [3, 1]]
    assert ask(folder, "day", prompt="good ") == [3, 4]
    assert ask(folder, "day", prompt="very ", prompt_name="query") == [1, 4]  # the prompt wins
    assert ask(folder, "day", prompt_name=None) == [1, 4]


def test_a_default_prompt_is_left_out_by_an_empty_one(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, **PROMPTS, default_prompt_name="query")
    assert ask(folder, "day") == [3, 4]
    assert ask(folder, "day", prompt_name="STS") == [1, 4]
    assert ask(folder, "day", prompt="") == [1, 4]


def test_a_prompt_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    error = ask(tiny.feature_extraction(tmp_path, **PROMPTS), "day", prompt_name="sts")["error"]
    assert error["message"] == "'parameters.prompt_name' is 'sts'; known: STS, query"
    error = ask(tiny.feature_extraction(tmp_path), "day", prompt_name="query")["error"]
    assert "this model has no prompts" in error["message"]
    with pytest.raises(scoring.ScoringError, match="'default_prompt_name' is 'a'; the prompts are"):
        scoring.load(tiny.feature_extraction(tmp_path, **PROMPTS, default_prompt_name="a"))


def test_a_prompt_need_not_be_pooled(tmp_path: Path) -> None:
    folder = tiny.feature_extraction(tmp_path, **PROMPTS, include_prompt=False)
    assert ask(folder, "day", prompt_name="query") == [0, 4]  # without [CLS] and good
    assert ask(folder, "day", prompt_name="query", pooling="cls") == [0, 4]
    # of (0, 4) and (0, 0) at the positions 3 and 4
    weighted = ask(folder, "day", prompt_name="query", pooling="weightedmean")
    assert weighted == pytest.approx([0, 12 / 7])
    long = "good " * 20
    error = ask(folder, "day", prompt=long)["error"]
    assert "the prompt has 21 tokens, which leaves none for the text" in error["message"]


def test_white_space_around_a_text_is_left_out_where_the_model_was_trained_so(
    tmp_path: Path,
) -> None:
    folder = tiny.feature_extraction(tmp_path, pooling="max", strip=True)
    plain = tiny.tokenizer()
    plain.normalizer = normalizers.Replace(" ", " good ")  # white space is a token
    plain.save(str(folder / "tokenizer.json"))
    assert ask(folder, " day\n") == [1, 4]
    assert ask(folder, " day\n", prompt=" ") == [1, 4]
    assert ask(tiny.feature_extraction(folder, pooling="max"), "day") == [1, 4]


def test_long_texts_are_cut_on_the_side_of_the_tokenizer(tmp_path: Path) -> None:
    text = "good " * 20 + "day " * 20
    folder = tiny.feature_extraction(tmp_path, pooling="max")
    assert ask(folder, text) == [3, 1]
    assert ask(folder, text, truncation_direction="Left") == [1, 4]
    folder = tiny.feature_extraction(tmp_path, pooling="max", truncation_side="left")
    assert ask(folder, text) == [1, 4]
    assert ask(folder, text, truncation_direction="Right") == [3, 1]


@pytest.mark.parametrize("alone", [{"padding_side": "left"}, {"pad_token_id": None}])
def test_a_model_that_cannot_be_padded_shares_runs_among_like_lengths(
    tmp_path: Path, alone: dict[str, Any]
) -> None:
    """The graph gives the vector of the last position, whatever is there."""
    folder = tiny.feature_extraction(tmp_path, **alone)
    model = onnx.load(folder / "model.onnx")
    nodes = [
        onnx.helper.make_node("Gather", ["last_hidden_state", "end"], ["pooler_output"], axis=1)
    ]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(-1), "end"))
    del model.graph.output[:]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("pooler_output", onnx.TensorProto.FLOAT, ["batch", 2])
    )
    onnx.save(model, folder / "model.onnx")
    bare = tiny.tokenizer()
    bare.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B:1", special_tokens=[]
    )
    bare.save(str(folder / "tokenizer.json"))
    texts = ["good", "a day", "a good day", "day", "very good"]
    assert ask(folder, texts) == [[3, 0], [0, 4], [0, 4], [0, 4], [3, 0]]
