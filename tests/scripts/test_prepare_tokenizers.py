"""tokenizer.json alone against transformers' tokenizer of the whole folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from onnxferry.scripts.prepare.sources.huggingface import transformers_model
from onnxferry.scripts.prepare.sources.inspection.tokenizer_check import check_tokens
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import PrepareError
from tests import tiny
from tests.scripts import checkpoints
from tests.scripts.sentence_folders import END, PAD, byte_level

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]


def as_transformers(tokenizer: Tokenizer) -> Any:
    return lambda text: tokenizer.encode(*((text,) if isinstance(text, str) else text)).ids


def test_what_the_file_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    made = TextTokenizer(tiny.tokenizer().to_str(), None, 0, 0, "right")
    check_tokens(tmp_path, made, as_transformers(tiny.tokenizer()), ["[SEP]"], {})
    other = tiny.tokenizer()
    other.normalizer = normalizers.Sequence([])
    said = {"do_lower_case": False, "model_max_length": 12}
    with pytest.raises(PrepareError, match=r"'Good morning, .*transformers.*do_lower_case False"):
        check_tokens(tmp_path, made, as_transformers(other), [], said)


def test_special_tokens_that_are_spelled_out_are_compared_too(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens(["[SEP]"])
    made = TextTokenizer(tokenizer.to_str(), None, 0, 0, "right", split_special_tokens=True)
    with pytest.raises(PrepareError, match=r"'a \[SEP\] b'"):
        check_tokens(tmp_path, made, as_transformers(tokenizer), ["[SEP]"], {})
    plain = replace(made, split_special_tokens=False)
    check_tokens(tmp_path, plain, as_transformers(tokenizer), ["[SEP]"], {})


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("split_special_tokens", True, "split_special_tokens"),
        ("truncation_side", "left", "truncation_side"),
        ("padding_side", "left", "padding_side"),
        ("model_input_names", ["input_ids", "attention_mask"], "inputs"),
    ],
)
def test_a_configuration_is_carried_over(tmp_path: Path, key: str, value: Any, field: str) -> None:
    path = checkpoints.tokenizer(tmp_path) / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    found = getattr(transformers_model.read_tokenizer(tmp_path), field)
    assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize("family", ["LlamaTokenizerFast", "PreTrainedTokenizerFast"])
def test_the_end_token_that_a_configuration_adds_is_in_the_file(
    tmp_path: Path, family: str
) -> None:
    byte_level(tmp_path, appended=False, pad_token=PAD, eos_token=END, bos_token=END)
    path = tmp_path / "tokenizer_config.json"
    said = {"tokenizer_class": family, "add_eos_token": True, "add_bos_token": False}
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    made = transformers_model.read_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)("good day")["input_ids"]
    assert Tokenizer.from_str(made.json).encode("good day").ids == theirs


def unigram(folder: Path, kind: str) -> Path:
    """A folder whose tokenizer.json lowers case, as no XLM-RoBERTa's does."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    words = ["▁good", "▁morning", "▁a", "▁b", "<mask>"]
    made = Tokenizer(models.Unigram([(word, -2.0) for word in (*specials, *words)], unk_id=3))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Metaspace()
    folder.mkdir()
    made.save(str(folder / "tokenizer.json"))
    named = dict(zip(("cls", "pad", "sep", "unk"), specials, strict=True))
    said = {f"{name}_token": token for name, token in named.items()} | {"tokenizer_class": kind}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


def test_a_tokenizer_that_transformers_5_makes_anew_is_refused_where_it_differs(
    tmp_path: Path,
) -> None:
    """transformers 4 and a generic class read the file as it is."""
    whole = transformers_model.read_tokenizer(unigram(tmp_path / "g", "PreTrainedTokenizerFast"))
    assert Tokenizer.from_str(whole.json).encode("GOOD Morning").ids == [4, 5]
    named = unigram(tmp_path / "n", "XLMRobertaTokenizer")
    if int(transformers.__version__.partition(".")[0]) > 4:
        with pytest.raises(PrepareError, match=r"not keep all of it.*under transformers 4"):
            transformers_model.read_tokenizer(named)
    else:
        kept = transformers_model.read_tokenizer(named)
        assert Tokenizer.from_str(kept.json).encode("GOOD Morning").ids[:2] == [4, 5]


def test_the_generic_class_of_transformers_4_gives_type_ids_under_both(tmp_path: Path) -> None:
    made = transformers_model.read_tokenizer(unigram(tmp_path / "g", "PreTrainedTokenizerFast"))
    assert set(made.inputs) == {"input_ids", "token_type_ids", "attention_mask"}
