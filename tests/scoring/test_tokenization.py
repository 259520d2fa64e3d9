"""What is fed for a text: as the tokenizers library cuts it, and as its configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.scoring.tokenization import Reading, Tokenizer
from tests import tiny

WORDS = st.lists(st.sampled_from(tiny.WORDS[:20]), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made = tiny.tokenizer()
    made.add_special_tokens(tiny.SPECIALS)
    made.save(str(path))
    return path


@given(WORDS, st.none() | WORDS, st.integers(4, 20), st.sampled_from(["left", "right"]))
def test_a_text_is_cut_as_the_library_cuts_it(
    path: Path, text: str, pair: str | None, length: int, side: str
) -> None:
    library = tiny.tokenizer()
    library.enable_truncation(length, direction=side)
    expected = library.encode(text, pair)
    [ours] = Tokenizer(path).encode([text if pair is None else (text, pair)])
    cut = ours.truncated(length, side)
    assert cut.ids.tolist() == expected.ids
    assert cut.type_ids.tolist() == expected.type_ids


def test_a_model_that_tells_no_pairs_apart_gets_no_types(path: Path) -> None:
    pair = [("good day", "bad day")]
    assert Tokenizer(path).encode(pair)[0].tokens.type_ids.any()
    plain = Tokenizer(path, Reading(token_type_ids=False))
    assert not plain.encode(pair)[0].tokens.type_ids.any()
    assert not next(iter(plain.encode_with_offsets(pair))).tokens.type_ids.any()


def test_a_special_token_in_a_text_is_text_where_the_configuration_says_so(path: Path) -> None:
    text = ["good [SEP] day"]
    special = tiny.VOCABULARY["[SEP]"]
    assert Tokenizer(path).encode(text)[0].tokens.ids.tolist().count(special) == 2
    split = Tokenizer(path, Reading(split_special_tokens=True))
    assert split.encode(text)[0].tokens.ids.tolist().count(special) == 1


def ask(folder: Path, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scoring.load(folder).handle(scoring.Request(body)).body)


def changed(folder: Path, **settings: Any) -> Path:
    """The model directory with other settings."""
    spec = json.loads((folder / "model_spec.json").read_text())
    spec["settings"] |= settings
    (folder / "model_spec.json").write_text(json.dumps(spec))
    return folder


def test_a_classifier_reads_the_end_of_a_long_text_where_its_tokenizer_does(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    text = "good " * 20 + "bad " * 20
    assert ask(folder, text)[0]["label"] == "good"
    assert ask(folder, text, truncation_direction="left")[0]["label"] == "bad"
    assert ask(changed(folder, truncation_side="left"), text)[0]["label"] == "bad"
    pair = {"text": "very very very", "text_pair": text}
    assert ask(folder, pair)["label"] == "bad"


def test_entities_are_those_of_the_end_that_is_read(tmp_path: Path) -> None:
    folder = tiny.token_classification(tmp_path)
    text = "dolly " + "the " * 20 + "1946"
    assert [e["word"] for e in ask(folder, text)] == ["dolly"]
    [entity] = ask(changed(folder, truncation_side="left"), text)
    assert (entity["word"], text[entity["start"] : entity["end"]]) == ("1946", "1946")
    assert entity["index"] == 10  # the last before [SEP], of 12 tokens


def test_a_hypothesis_stays_whole_whichever_side_is_cut(tmp_path: Path) -> None:
    folder = tiny.zero_shot_classification(tmp_path, hypothesis_template="it is {}")
    text = "good " * 30 + "bad " * 30
    labels = {"candidate_labels": ["day", "name"]}
    right = ask(folder, text, **labels, multi_label=True)
    left = ask(changed(folder, truncation_side="left"), text, **labels, multi_label=True)
    assert right["scores"][1] > 0.99
    assert left["scores"][1] < 0.01


def test_a_graph_that_takes_types_is_fed_zeros_where_the_tokenizer_gives_none(
    tmp_path: Path,
) -> None:
    """The graph's logits are the sum of all types."""
    folder = tiny.text_classification(tmp_path)
    ids = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "token_type_ids")
    ]
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])
    nodes = [
        onnx.helper.make_node("Cast", ["token_type_ids"], ["types"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceSum", ["types", "second"], ["sums"], keepdims=1),
        onnx.helper.make_node("Mul", ["sums", "last"], ["logits"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1]), "second"),
        onnx.numpy_helper.from_array(np.array([[0, 0, 1]], np.float32), "last"),
    ]
    graph = onnx.helper.make_graph(nodes, "types", ids, [out], constants)
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "model.onnx"
    )
    pair = {"text": "good", "text_pair": "bad day"}
    assert ask(folder, pair)["score"] > 0.9  # three tokens of the second text
    settings = {"token_type_ids": False, "pad_token_type_id": 3}
    [alone] = ask(changed(folder, **settings), [pair, "a " * 9], top_k=None)[:1]
    assert [row["score"] for row in alone] == pytest.approx([1 / 3] * 3)
