"""Folders and hub models of .onnx files: which one is taken, and what the folder says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import transformers

from onnxferry import scoring
from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources.hub.resolution import resolved
from onnxferry.system.errors import PrepareError, UsageError
from tests.fakes.hub import HubDouble, content
from tests.scripts import checkpoints
from tests.scripts.checkpoints import LABELS, as_exported

pytestmark = pytest.mark.toolchain
TEXT = "the quick fox is glad"


def ask(folder: Path, inputs: Any) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps({"inputs": inputs}).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def graph(folder: Path) -> Path:
    """The model of a folder as onnx/model.onnx in it."""
    made = folder.with_name(f"{folder.name}-prepared")
    prepare(as_exported(str(folder), made))
    (folder / "onnx").mkdir()
    return Path(shutil.copy(made / "model.onnx", folder / "onnx"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier as transformers saves it, and the same as .onnx files in onnx/."""
    folder = checkpoints.bert(tmp_path_factory.mktemp("trained") / "bert", "text-classification")
    path = graph(folder)
    shutil.copy(path, path.with_name("model_quantized.onnx"))
    onnx.save(
        onnx.load(path),
        path.with_name("model_large.onnx"),
        save_as_external_data=True,
        location="weights.of.the.large",
        size_threshold=0,
    )
    return folder


@pytest.fixture
def exported(trained: Path, tmp_path: Path) -> Path:
    """As optimum leaves it: the graphs beside what describes them."""
    folder = tmp_path / "exported"
    weights = ("*.safetensors", "*.bin", "onnx")
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns(*weights))
    for path in (trained / "onnx").iterdir():
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    with HubDouble() as double:
        double.connect(monkeypatch, tmp_path / "home")
        yield double


def answers_as(folder: Path, trained: Path) -> None:
    """The model directory answers as transformers' pipeline does."""
    pipeline = transformers.pipeline("text-classification", model=str(trained))
    expected, [got] = pipeline(TEXT)[0], ask(folder, [TEXT])
    got = got[0] if isinstance(got, list) else got
    assert got["label"] == expected["label"]
    assert got["score"] == pytest.approx(expected["score"], abs=1e-5)


def test_a_hub_model_is_prepared_by_its_name(hub: HubDouble, trained: Path, tmp_path: Path) -> None:
    commit = hub.push("org/moods", content(trained))
    spec = prepare(as_exported("org/moods", tmp_path / "out"))
    source = spec.provenance["source"]
    assert {key: source[key] for key in ("kind", "id", "revision", "commit", "architecture")} == {
        "kind": "huggingface",
        "id": "org/moods",
        "revision": "main",
        "commit": commit,
        "architecture": "BertForSequenceClassification",
    }
    assert not [path for path in hub.sent() if path.startswith("onnx/")]
    answers_as(tmp_path / "out", trained)


def test_of_several_graphs_one_must_be_chosen(
    exported: Path, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"choose one with --file:\n  model.onnx .*\n  model_large"
    ):
        prepare(as_exported(str(exported), tmp_path / "out"))
    spec = prepare(as_exported(str(exported), tmp_path / "out", file="model_quantized.onnx"))
    assert (spec.task, spec.labels) == ("text-classification", LABELS)
    assert spec.provenance["source"]["name"] == "model_quantized.onnx"
    answers_as(tmp_path / "out", trained)


def test_the_only_graph_of_a_folder_is_taken(exported: Path, trained: Path, tmp_path: Path) -> None:
    for path in (*exported.glob("model_*"), exported / "weights.of.the.large"):
        path.unlink()
    prepare(as_exported(str(exported), tmp_path / "out"))
    answers_as(tmp_path / "out", trained)


def test_a_file_is_taken_where_there_are_weights_too(trained: Path, tmp_path: Path) -> None:
    """Also where SOURCE is the folder onnx/ itself, which is described by the one above."""
    out = tmp_path / "out"
    for folder, file in ((trained, "onnx/model.onnx"), (trained / "onnx", "model.onnx")):
        found = resolved(as_exported(str(folder), out, file=file)).options
        assert found.source == str(trained / "onnx/model.onnx")
        assert (found.kind, found.folder) == ("onnx", trained)


def test_weights_under_any_name_come_from_the_hub(
    hub: HubDouble, trained: Path, tmp_path: Path
) -> None:
    commit = hub.push("org/moods", content(trained))
    options = as_exported("org/moods", tmp_path / "out", file="onnx/model_large.onnx")
    spec = prepare(options)
    source = spec.provenance["source"]
    assert (source["kind"], source["file"]) == ("onnx", "onnx/model_large.onnx")
    assert (source["id"], source["commit"]) == ("org/moods", commit)
    assert "onnx/weights.of.the.large" in hub.sent()
    assert "model.safetensors" not in hub.sent()
    answers_as(tmp_path / "out", trained)


def test_missing_weights_are_named(
    exported: Path, trained: Path, hub: HubDouble, tmp_path: Path
) -> None:
    (exported / "weights.of.the.large").unlink()
    message = r"model_large.onnx: .* are in weights.of.the.large, and .* is not there: copy it too"
    with pytest.raises(PrepareError, match=message):
        prepare(as_exported(str(exported), tmp_path / "out", file="model_large.onnx"))
    files = content(trained)
    del files["onnx/weights.of.the.large"]
    hub.push("org/moods", files)
    with pytest.raises(UsageError, match=r"org/moods: holds no onnx/weights.of.the.large"):
        prepare(as_exported("org/moods", tmp_path / "out", file="model_large.onnx"))


def test_the_pooling_of_sentence_transformers_is_the_graph_s(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "embedder", "feature-extraction")
    model = transformers.AutoModel.from_pretrained(folder)
    graph(folder)
    (folder / "model.safetensors").unlink()
    parts = {"": "models.Transformer", "1_Pooling": "models.Pooling"}
    modules = [{"path": path, "type": f"sentence_transformers.{t}"} for path, t in parts.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
    spec = prepare(as_exported(str(folder), tmp_path / "out"))
    assert (spec.task, spec.settings["pooling"]) == ("feature-extraction", "mean")
    words = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        vectors = model.eval()(**words(TEXT, return_tensors="pt")).last_hidden_state[0]
    assert ask(tmp_path / "out", TEXT) == pytest.approx(vectors.mean(0).tolist(), abs=1e-5)


def test_the_preprocessing_of_pictures_is_the_folder_s(tmp_path: Path) -> None:
    folder = checkpoints.vit(tmp_path / "vit")
    graph(folder)
    (folder / "model.safetensors").unlink()
    spec = prepare(as_exported(str(folder), tmp_path / "out"))
    assert (spec.task, spec.labels) == ("image-classification", LABELS)
    assert spec.settings["preprocess"][0]["size"] == [32, 32]


def test_a_graph_of_the_hub_may_be_one_of_arrays(
    hub: HubDouble, trained: Path, tmp_path: Path
) -> None:
    hub.push("org/moods", content(trained))
    options = as_exported("org/moods", tmp_path / "out", "tensors", file="onnx/model.onnx")
    found = resolved(options).options
    assert (found.kind, found.task, found.folder, found.tokenizer) == (
        "onnx",
        "tensors",
        None,
        None,
    )


def test_a_tokenizer_beside_a_graph_is_its_own(exported: Path, tmp_path: Path) -> None:
    (exported / "config.json").unlink()
    given = {"task": "feature-extraction", "file": "model.onnx"}
    found = resolved(as_exported(str(exported), tmp_path / "out", **given)).options
    assert (found.folder, found.tokenizer) == (None, exported)


def test_file_is_for_folders(exported: Path, tmp_path: Path) -> None:
    options = as_exported(str(exported / "model.onnx"), tmp_path / "out", file="model.onnx")
    with pytest.raises(UsageError, match="--file chooses in a folder or in a model of the hub"):
        prepare(options)
