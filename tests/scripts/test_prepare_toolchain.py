"""Whatever version saved a model, and in whatever form: it is loaded as transformers does, exported
by either way, and its tokenizer is tried on the one that ships."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from safetensors.torch import load_file

from onnxferry.scoring.engine import Session
from onnxferry.scripts.package import pins
from onnxferry.scripts.prepare import Options, onnx_file_io, prepare
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.huggingface import (
    exporters,
    torch_export,
    transformers_model,
)
from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest
from onnxferry.scripts.prepare.verification import shipped_tokenizer
from onnxferry.system.errors import PrepareError, UsageError
from onnxferry.system.hashes import combined_sha256
from onnxferry.system.library_output import silence_libraries
from tests import tiny
from tests.scripts import checkpoints
from tests.scripts.checkpoints import as_exported

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
OLDER = Version(transformers.__version__).major < 5
TASK = "text-classification"
IDS = np.array([[2, 9, 12, 4, 3], [2, 21, 3, 0, 0]], np.int64)
FEEDS = {"input_ids": IDS, "attention_mask": (IDS != 0).astype(np.int64)}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("bert") / "bert", TASK)


def loaded(folder: Path) -> Any:
    with silence_libraries():
        return transformers_model.load(folder, transformers_model.read_config(folder), TASK, None)


def logits(model: Any) -> Any:
    return pytorch.runner(model)(FEEDS, ["logits"])[0]


def described(source: Path, target: Path) -> Path:
    """`source` without its weights."""
    target.mkdir()
    for path in source.glob("*.json"):
        (target / path.name).write_bytes(path.read_bytes())
    return target


def pickled(source: Path, target: Path, **how: Any) -> Path:
    """`source` with its weights as a pickle."""
    weights = load_file(source / "model.safetensors")
    torch.save(weights, described(source, target) / "pytorch_model.bin", **how)
    return target


def sharded_pickles(source: Path, target: Path) -> Path:
    weights = load_file(source / "model.safetensors")
    names, folder = sorted(weights), described(source, target)
    shards = {f"pytorch_model-0000{i}-of-00002.bin": names[i - 1 :: 2] for i in (1, 2)}
    for file, held in shards.items():
        torch.save({name: weights[name] for name in held}, folder / file)
    where = {name: file for file, held in shards.items() for name in held}
    index = {"metadata": {}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def sharded(source: Path, target: Path) -> Path:
    model = transformers.BertForSequenceClassification.from_pretrained(source)
    model.save_pretrained(target, max_shard_size="20KB")
    for path in source.glob("token*"):
        (target / path.name).write_bytes(path.read_bytes())
    assert len(list(target.glob("*.safetensors"))) > 2
    return target


FORMS: Mapping[str, Callable[[Path, Path], Path]] = {
    "pickle": pickled,
    "older pickle": lambda a, b: pickled(a, b, _use_new_zipfile_serialization=False),
    "pickles": sharded_pickles,
    "shards": sharded,
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_in_every_form_are_the_same_model(bert: Path, tmp_path: Path, form: str) -> None:
    other = FORMS[form](bert, tmp_path / "other")
    assert np.array_equal(logits(loaded(other)), logits(loaded(bert)))


def test_a_folder_of_pickles_alone_is_prepared(bert: Path, tmp_path: Path) -> None:
    source = sharded_pickles(bert, tmp_path / "source")
    spec = prepare(as_exported(str(source), tmp_path / "out"))
    record = spec.provenance["source"]
    assert record["sha256"] == combined_sha256(sorted(source.glob("pytorch_model*")))


class Harmful:
    """Makes a folder when it is read from a pickle."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_a_program_is_refused_unread(
    bert: Path, tmp_path: Path, zipped: bool
) -> None:
    source, made = described(bert, tmp_path / "source"), tmp_path / "made"
    content = {"classifier.weight": Harmful(made)}
    path = source / "pytorch_model.bin"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    pickle.loads(pickle.dumps(content))  # noqa: S301 (it does run when it is read)
    made.rmdir()

    with pytest.raises(PrepareError, match=r"pytorch_model.bin: holds more than weights: .*mkdir"):
        prepare(as_exported(str(source), tmp_path / "out"))

    assert not made.exists()


def test_a_pickle_that_is_cut_off_is_named(bert: Path, tmp_path: Path) -> None:
    source = pickled(bert, tmp_path / "source")
    path = source / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(PrepareError, match=r"pytorch_model.bin: not readable as PyTorch weights"):
        loaded(source)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_size_are_exported_in_float32(
    bert: Path, tmp_path: Path, dtype: str
) -> None:
    model = transformers.BertForSequenceClassification.from_pretrained(bert)
    half = described(bert, tmp_path / "half")
    model.to(getattr(torch, dtype)).save_pretrained(half)

    found = loaded(half)

    assert {p.dtype for p in found.parameters()} == {torch.float32}
    assert np.abs(logits(found) - logits(model.float().eval())).max() < 1e-5


def generic_tokenizer(folder: Path, **changes: Any) -> Path:
    """As transformers 5 writes one: only tokenizer.json says what it is."""
    folder.mkdir()
    tiny.tokenizer().save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 96}
    config = {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers", **names, **changes}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "changes", [{}, {"extra_special_tokens": ["[CLS]", "[SEP]"]}, {"extra_special_tokens": {}}]
)
def test_a_generic_tokenizer_of_transformers_5_is_read(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    found = transformers_model.read_tokenizer(generic_tokenizer(tmp_path / "t", **changes))
    pad = tiny.VOCABULARY["[PAD]"]
    assert (found.max_length, found.pad_token_id, found.padding_side) == (96, pad, "right")


def test_torch_export_writes_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(torch_export, "LARGE", 0)
    model = loaded(checkpoints.distilbert(tmp_path / "source"))
    path = tmp_path / "graph" / "model.onnx"
    path.parent.mkdir()
    with silence_libraries():
        torch_export.export(model, path, GraphRequest(TASK, tuple(FEEDS)))
    graph = Session(path)
    assert onnx_file_io.versions(path)[0] == torch_export.DYNAMO_OPSET
    assert [t.name for t in graph.inputs] == list(FEEDS)
    assert graph.inputs[0].shape == ("batch_size", "sequence_length")
    assert np.abs(graph.run(FEEDS)[0] - logits(model)).max() < 1e-5
    one = {name: array[:1, :3] for name, array in FEEDS.items()}
    expected = pytorch.runner(model)(one, ["logits"])[0]
    assert np.abs(graph.run(one)[0] - expected).max() < 1e-5
    assert {p.name for p in path.parent.iterdir()} <= {"model.onnx", "model.onnx.data"}


class Untraceable(torch.nn.Module):  # type: ignore[misc]
    """What neither way can follow."""

    config = transformers.BertConfig()

    def forward(self, input_ids: Any, attention_mask: Any = None, **more: Any) -> Any:
        raise RuntimeError("no way")


def test_an_export_that_fails_tells_the_reasons_of_both_ways(tmp_path: Path) -> None:
    wanted = GraphRequest(TASK, ("input_ids",))
    with pytest.raises(PrepareError, match=r"(?s)by torchscript: .*no way.*by dynamo: "):
        torch_export.export(Untraceable(), tmp_path / "m.onnx", wanted)
    assert list(tmp_path.iterdir()) == []


class Demanding(torch.nn.Module):  # type: ignore[misc]
    """Needs what no task gives."""

    config = transformers.BertConfig()

    def forward(self, input_ids: Any, global_attention_mask: Any) -> Any:
        raise NotImplementedError


def test_an_architecture_that_needs_more_than_texts_is_refused(tmp_path: Path) -> None:
    wanted = GraphRequest(TASK, ("input_ids", "attention_mask"))
    with pytest.raises(PrepareError, match="not supported: it needs global_attention_mask"):
        torch_export.export(Demanding(), tmp_path / "m.onnx", wanted)


@pytest.mark.skipif(not OLDER, reason="optimum needs transformers 4")
def test_optimum_is_the_second_exporter(bert: Path, tmp_path: Path) -> None:
    spec = prepare(as_exported(str(bert), tmp_path / "out", exporter="optimum"))
    assert spec.provenance["difference"]["agreement"] == 1
    assert spec.provenance["difference"]["max_abs"] < 1e-4


@pytest.mark.skipif(OLDER, reason="transformers 4 has it")
def test_optimum_is_refused_where_it_cannot_be(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--exporter optimum .*'transformers<4.58'"):
        prepare(Options(str(bert), tmp_path / "out", exporter="optimum"))
    assert list(exporters.mistakes("torch")) == []


def test_a_tokenizer_is_tried_on_the_version_that_ships(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tiny.tokenizer().save(str(path))
    assert shipped_tokenizer.tried(path).keys() <= {"tried_on", "not tried"}


def shipped(folder: Path, encode: str) -> Path:
    """A library in the place of the one that ships, which makes these tokens."""
    (folder / "tokenizers").mkdir(parents=True)
    (folder / "tokenizers" / "__init__.py").write_text(
        f"""
from types import SimpleNamespace as Row
__version__ = "0.21.4"
class Tokenizer:
    @staticmethod
    def from_file(path): return Tokenizer()
    def encode(self, *texts): {encode}
"""
    )
    return folder


@pytest.mark.parametrize(
    ("encode", "says"),
    [
        ("return Row(ids=[7], type_ids=[0], offsets=[(0, 1)])", "gives other tokens by tokenizers"),
        ("raise Exception('untagged enum')", "cannot be read by tokenizers 0.21.4.*untagged enum"),
    ],
)
def test_a_tokenizer_that_what_ships_reads_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: str, says: str
) -> None:
    folder = shipped(tmp_path / "library", encode)
    monkeypatch.setattr(shipped_tokenizer, "_library", lambda *_: (folder, ""))
    monkeypatch.setattr(pins, "version", lambda *_: "0.21.4")
    path = tmp_path / "tokenizer.json"
    tiny.tokenizer().save(str(path))
    with pytest.raises(PrepareError, match=f"tokenizer.json {says}"):
        shipped_tokenizer.tried(path)


def test_without_a_network_a_tokenizer_is_not_tried(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tiny.tokenizer().save(str(path))
    nowhere = {"ONNXFERRY_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}
    assert "which ships, cannot be had" in shipped_tokenizer.tried(path, nowhere)["not tried"]
