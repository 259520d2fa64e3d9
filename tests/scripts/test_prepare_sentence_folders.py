"""What a sentence-transformers folder says, in all layouts; and what is refused because it would
change the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from onnxferry.scripts.prepare.sources.settings import sentence_transformers
from onnxferry.system.errors import UsageError

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
}
SAVED_BY = {"__version__": {"sentence_transformers": "5.4.0"}}


def folder(path: Path, *kinds: str, **files: Any) -> Path:
    """A folder with such modules; `files`: contents by path, / spelled __."""
    entries = [
        {"idx": i, "name": str(i), "path": f"{i}_m" if i else "", "type": kind}
        for i, kind in enumerate(kinds)
    ]
    for name, content in {"modules": entries, **files}.items():
        file = path / (name.replace("__", "/") + ".json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content))
    return path


def test_another_folder_has_no_modules(tmp_path: Path) -> None:
    assert sentence_transformers.read(tmp_path) == sentence_transformers.SentenceModel(tmp_path)


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ["cls", "mean"]),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode_mean_tokens": False}, "mean"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode": ["max", "cls"]}, ["max", "cls"]),
        ({}, "mean"),
    ],
)
def test_poolings_of_old_and_new_folders(
    tmp_path: Path, config: dict[str, Any], poolings: Any
) -> None:
    kinds = [OLD + "Transformer", OLD + "Pooling"]
    found = sentence_transformers.read(folder(tmp_path, *kinds, **{"1_m__config": config}))
    assert found.settings["pooling"] == poolings
    assert found.settings["normalize"] is False


def test_new_names_of_modules_are_known(tmp_path: Path) -> None:
    found = sentence_transformers.read(folder(tmp_path, *NEW.values()))
    assert [layer.kind for layer in found.layers] == ["Dense"]
    assert found.settings["pooling"] == "sentence_embedding"


def test_what_the_library_says_besides(tmp_path: Path) -> None:
    library = {"prompts": {"query": "q: "}, "default_prompt_name": "query", "truncate_dim": 64}
    library |= {"similarity_fn_name": "dot"}
    text = {"max_seq_length": 16, "do_lower_case": True}
    files = {"config_sentence_transformers": library, "sentence_xlnet_config": text}
    found = sentence_transformers.read(folder(tmp_path, OLD + "Transformer", **files))
    assert found.lower_case
    assert dict(found.settings) == {
        "max_length": 16,
        "prompts": {"query": "q: ", "document": ""},
        "default_prompt_name": "query",
        "dimensions": 64,
        "strip": True,
    }
    assert found.settings_of("sentence-similarity") == {**found.settings, "similarity": "dot"}
    assert found.settings_of("feature-extraction") == found.settings


@pytest.mark.parametrize(
    ("version", "strip"),
    [("2.2.2", True), ("5.3.1", True), ("5.4.0", False), ("6.2.0", False), ("5.10.0.dev0", False)],
)
def test_only_older_versions_strip_texts(tmp_path: Path, version: str, strip: bool) -> None:
    library = {"__version__": {"sentence_transformers": version}}
    made = folder(tmp_path, OLD + "Transformer", config_sentence_transformers=library)
    assert sentence_transformers.read(made).settings["strip"] is strip


@pytest.mark.parametrize(
    ("kinds", "files", "message"),
    [
        (["Transformer", "LSTM"], {}, "LSTM are not supported"),
        (["StaticEmbedding"], {}, "StaticEmbedding are not supported"),
        (["Transformer", "Dense", "Pooling"], {}, "the modules are Transformer, Dense, Pooling"),
        (["Pooling"], {}, "the modules are Pooling"),
        (["Transformer", "Pooling"], {"1_m__config": {"pooling_mode": "median"}}, "pooling median"),
        (
            ["Transformer", "Pooling", "Dense"],
            {"2_m__config": {"module_input_name": "token_embeddings"}},
            "module_input_name token_embeddings is not supported",
        ),
        (
            ["Transformer"],
            {"sentence_bert_config": {"processing_kwargs": {"text": {"max_length": 4}}}},
            "processing_kwargs .*max_length.* is not supported",
        ),
        (
            ["Transformer"],
            {"sentence_bert_config": {"transformer_task": "text-generation"}},
            'transformer_task "text-generation" is not supported',
        ),
        (
            ["Transformer"],
            {"config_sentence_transformers": {"default_prompt_name": "none"}},
            "default_prompt_name is 'none', but no such prompt",
        ),
    ],
)
def test_what_would_change_the_answers_is_refused(
    tmp_path: Path, kinds: list[str], files: dict[str, Any], message: str
) -> None:
    made = folder(tmp_path, *(OLD + kind for kind in kinds), **files)
    with pytest.raises(UsageError, match=message):
        sentence_transformers.read(made)


def test_what_changes_no_answer_is_passed_over(tmp_path: Path) -> None:
    text = {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward"}},
        "module_output_name": "token_embeddings",
        "model_args": {"torch_dtype": "bfloat16"},
        "query_length": None,
        "max_seq_length": -1,  # as saved for XLNet, which has no limit
    }
    kinds = [OLD + "Transformer", OLD + "Dropout", OLD + "Pooling"]
    found = sentence_transformers.read(folder(tmp_path, *kinds, sentence_bert_config=text))
    assert found.settings["pooling"] == "mean"
    assert "max_length" not in found.settings


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"path": "", "type": "custom_st.Transformer"}], "code of the model's own"),
        ([{"path": "../up", "type": OLD + "Transformer"}], "leads out of the folder"),
        ([{"path": ""}], "expected a type and a path"),
        ([], "expected a list of modules"),
        ({"0": "Transformer"}, "expected a list of modules"),
    ],
)
def test_a_list_of_modules_with_a_mistake_is_refused(
    tmp_path: Path, entries: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        sentence_transformers.read(folder(tmp_path, modules=entries))


@pytest.mark.parametrize(
    "normalizer", [None, {"type": "NFC"}, {"type": "Sequence", "normalizers": []}]
)
def test_lowercasing_is_the_tokenizers_first_step(normalizer: Any) -> None:
    made = sentence_transformers.lowercased(json.dumps({"normalizer": normalizer}))
    steps = json.loads(made)["normalizer"]["normalizers"]
    assert steps[0] == {"type": "Lowercase"}
    assert json.loads(sentence_transformers.lowercased(made)) == json.loads(made)
