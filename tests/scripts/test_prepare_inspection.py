"""A mistake costs seconds: what is wrong with a source is told, all at once, before torch is
imported; --dry-run tells what would be made; --test goes the whole way on a small copy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from onnxferry.scripts.prepare import Options, disk_space, test_run
from onnxferry.scripts.prepare.options import check
from onnxferry.scripts.prepare.sources.inspection import source_checks
from onnxferry.scripts.prepare.sources.inspection.inspection import inspect
from onnxferry.system.errors import UsageError
from tests.fakes.hub import HubDouble
from tests.scripts import checkpoints

ROOT = Path(__file__).parents[2]
Spoil = Callable[[Path], object]
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "id2label": {"0": "calm", "1": "glad", "2": "angry"},
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that is right by all that can be told of it without loading it."""
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder / "config.json", CONFIG)
    write(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    write(folder / "tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": 0}}})
    weights = {"classifier.weight": np.zeros((3, 8), np.float32)}
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return folder


def write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data), encoding="utf-8")


def edit(path: Path, **changes: Any) -> None:
    write(path, {**json.loads(path.read_text()), **changes})


def asked(folder: Path, **options: Any) -> Options:
    return Options(str(folder), folder.parent / "out", **options)


def test_labels_that_are_not_as_many_as_the_outputs_are_told_before_torch(
    model: Path, tmp_path: Path
) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("sad\nhappy\n")
    said = r"--labels .*labels.txt: 2 labels, but the model has 3: calm, glad, angry"
    with pytest.raises(UsageError, match=said):
        inspect(asked(model, labels=names))
    names.write_text("sad\nhappy\nwild\n")
    assert inspect(asked(model, labels=names)).labels == ("sad", "happy", "wild")


def test_a_right_folder_passes(model: Path) -> None:
    found = inspect(asked(model))
    assert (found.task, found.labels) == ("text-classification", ("calm", "glad", "angry"))


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 438\n"
    (folder / "model.safetensors").write_text(text)


def cut(folder: Path) -> None:
    with (folder / "model.safetensors").open("rb+") as weights:
        weights.truncate(weights.seek(0, 2) - 40)


def sharded(folder: Path) -> None:
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    write(folder / "model.safetensors.index.json", {"weight_map": names})
    (folder / "model.safetensors").rename(folder / names["a"])


def moved(name: str, other: str) -> Spoil:
    return lambda folder: (folder / name).rename(folder / other)


def changed(**changes: Any) -> Spoil:
    return lambda folder: edit(folder / "config.json", **changes)


MISTAKES: dict[str, tuple[Spoil, str]] = {
    "no configuration": (moved("config.json", "old.json"), "holds no config.json, so it is no fol"),
    "a model directory": (
        moved("config.json", "model_spec.json"),
        "is a model directory, as prepare makes it: only --tune SCENARIO takes one",
    ),
    "an adapter's folder": (
        moved("config.json", "adapter_config.json"),
        "an adapter.*give its base model as SOURCE",
    ),
    "a configuration cut short": (
        lambda folder: (folder / "config.json").write_text('{"arch'),
        "config.json: not readable as JSON",
    ),
    "no weights": (
        moved("model.safetensors", "tf_model.h5"),
        "holds no weights, only those of TensorFlow; expected model.safetensors",
    ),
    "a pointer in the place of weights": (pointer, "a pointer of Git LFS .*git lfs pull"),
    "weights cut short": (cut, r"ends after 56 of 96 bytes of weights; download it again"),
    "a shard that is missing": (sharded, "files that are not there: model-00002-of-00002.safet"),
    "a tokenizer that draws lots": (
        lambda folder: edit(
            folder / "tokenizer_config.json", sp_model_kwargs={"enable_sampling": True}
        ),
        "says enable_sampling, so a text is read another way each time",
    ),
    "no tokenizer": (moved("tokenizer.json", "t.json"), "holds no tokenizer .*--tokenizer"),
    "a hole in id2label": (
        changed(id2label={"0": "calm", "2": "angry"}),
        "id2label names no label for output 1 of 3; complete it",
    ),
    "a label less than outputs": (
        changed(id2label={"0": "calm", "1": "glad"}),
        "id2label names no label for output 2 of 3; complete it",
    ),
    "a label more than outputs": (
        changed(id2label={str(i): str(i) for i in range(4)}),
        "id2label names 4 labels, but the model has 3",
    ),
    "id2label without numbers": (changed(id2label={"calm": 0}), "must map numbers to names"),
    "Longformer": (
        changed(model_type="longformer"),
        "this architecture is not supported: it needs global_attention_mask",
    ),
    "a newer transformers": (
        changed(transformers_version="9.1.0"),
        rf"saved by transformers 9.1.0; {metadata.version('transformers')} is installed.*"
        "pip install 'transformers>=9,<10'",
    ),
    "a language model": (
        changed(architectures=["GPT2LMHeadModel"]),
        r"--task: cannot be told from the model's files \(GPT2LMHeadModel\); it generates text",
    ),
    "pictures without their processor": (
        changed(architectures=["ViTForImageClassification"]),
        "holds no preprocessor_config.json; write the preprocessing into --settings",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told(model: Path, what: str) -> None:
    spoil, said = MISTAKES[what]
    spoil(model)
    with pytest.raises(UsageError, match=said):
        inspect(asked(model))


@pytest.mark.toolchain
@pytest.mark.parametrize("config", [{}, {"transformers_version": "4.57.6"}], ids=str)
def test_a_newer_versions_key_tells_it_where_the_configuration_does_not(
    model: Path, config: dict[str, Any]
) -> None:
    changed(rope_parameters={"rope_type": "default", "rope_theta": 1e6}, **config)(model)
    if metadata.version("transformers").startswith("4."):
        with pytest.raises(UsageError, match=r"saved by transformers 5 or .*>=5,<6'"):
            inspect(asked(model))
    else:
        assert inspect(asked(model)).task == "text-classification"


def test_all_mistakes_are_told_at_once(model: Path, tmp_path: Path) -> None:
    cut(model)
    (model / "tokenizer.json").unlink()
    write(tmp_path / "settings.json", {"no_such_setting": 1})
    (tmp_path / "dev.tsv").write_text("good\tmerry\n")
    options = asked(model, settings=tmp_path / "settings.json", data=tmp_path / "dev.tsv")

    with pytest.raises(UsageError) as caught:
        inspect(options)
    told = str(caught.value)
    assert told.startswith("4 things are wrong:\n- ")
    for part in ("bytes of weights", "no tokenizer", "no_such_setting", "label 'merry'"):
        assert part in told


def test_a_setting_of_the_tokenizer_that_is_not_known_is_noted(model: Path) -> None:
    assert inspect(asked(model)).notes == []
    edit(model / "tokenizer_config.json", do_lower_case=True, stem_words=True)
    (note,) = inspect(asked(model)).notes
    assert "tokenizer_config.json: stem_words: not known here" in note


def test_an_adapter_brings_other_labels(model: Path, tmp_path: Path) -> None:
    changed(id2label={"0": "a", "1": "b"})(model)
    (tmp_path / "adapter").mkdir()
    with pytest.raises(UsageError, match=r"--adapter .*adapter: not a PEFT adapter folder"):
        inspect(asked(model, adapter=tmp_path / "adapter", task="text-classification"))
    write(tmp_path / "adapter" / "adapter_config.json", {"task_type": "SEQ_CLS"})
    with pytest.raises(UsageError, match=r"holds no weights \(adapter_model.safetensors\)"):
        inspect(asked(model, adapter=tmp_path / "adapter"))
    (tmp_path / "adapter" / "adapter_model.safetensors").touch()
    assert inspect(asked(model, adapter=tmp_path / "adapter")).task == "text-classification"


def test_a_disk_that_is_too_full_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_space, "EXPORTED", 1e14)
    with pytest.raises(UsageError, match=r"--out .*about .* GB are needed .* are free; give an"):
        inspect(asked(model))


def test_room_is_asked_for_float32(model: Path) -> None:
    whole = source_checks.needed_room(inspect(asked(model)).folder)  # type: ignore[arg-type]
    changed(torch_dtype="bfloat16")(model)
    half = source_checks.needed_room(inspect(asked(model)).folder)  # type: ignore[arg-type]
    size = (model / "model.safetensors").stat().st_size
    assert [whole, half] == [disk_space.needed(asked(model), n * size) for n in (1, 2)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    with HubDouble() as double:
        double.connect(monkeypatch, tmp_path / "home")
        yield double


@pytest.mark.toolchain
def test_a_hub_model_is_inspected_without_its_weights(
    hub: HubDouble, model: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    hub.push("org/right", files)
    hub.push("org/long", {**files, "config.json": b'{"model_type": "longformer"}'})

    right = inspect(Options("org/right", tmp_path / "out"))
    with pytest.raises(UsageError, match="it needs global_attention_mask"):
        inspect(Options("org/long", tmp_path / "out", "text-classification"))

    assert right.folder
    assert (right.task, right.labels) == ("text-classification", ("calm", "glad", "angry"))
    assert right.folder.download == len(files["model.safetensors"])
    assert "model.safetensors" not in hub.sent()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """prepare in a process that says which heavy libraries it imported."""
    code = (
        "import atexit, sys\n"
        "heavy = ('torch', 'transformers', 'peft')\n"
        "atexit.register(lambda: print('imported:', [n for n in heavy if n in sys.modules]))\n"
        "from onnxferry.scripts.prepare.__main__ import command\n"
        f"command({list(arguments)})"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_a_mistake_is_told_before_torch_is_imported(model: Path, tmp_path: Path) -> None:
    (model / "tokenizer.json").unlink()
    done = run(str(model), "--out", str(tmp_path / "out"))
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "holds no tokenizer" in done.stderr
    assert "imported: []" in done.stdout


def test_a_dry_run_tells_what_would_be_made_and_makes_nothing(model: Path, tmp_path: Path) -> None:
    done = run(str(model), "--out", str(tmp_path / "out"), "--precision", "fp32", "--dry-run")
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert told["source"].startswith(f"{model}: BertForSequenceClassification; model.safetensors")
    assert told["task"] == "text-classification (told by the model's files)"
    assert told["labels"] == "3: calm, glad, angry"
    assert told["tokenizer"] == "BertTokenizer, WordPiece, 1 tokens"
    assert told["variants"].startswith("fp32, fp32-optimised; ")
    assert told["out"] == f"{tmp_path / 'out'}, new"
    assert told["download"] == "nothing"
    assert told["imported:"] == "[]"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_both_flags_at_once_are_refused(model: Path) -> None:
    with pytest.raises(UsageError, match="--dry-run and --test"):
        check(asked(model, dry_run=True, test=True))


@pytest.mark.toolchain
def test_a_test_goes_the_whole_way_on_two_layers(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    edit(source / "config.json", num_hidden_layers=12)  # the weights of these are never read
    before = sorted(path.name for path in tmp_path.iterdir())

    *told, last = test_run.passed(asked(source, variant="fp32-optimised", test=True))

    assert any(line.startswith("made and asked: fp32, fp32-optimised") for line in told)
    assert any(line.startswith("as transformers' pipeline: ") for line in told)
    assert "BertForSequenceClassification of 2 layers with random weights" in last
    assert "nothing is written to" in last
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.toolchain
def test_a_test_merges_an_adapter_of_the_same_kind(tmp_path: Path) -> None:
    base = checkpoints.bert(tmp_path / "bert", "question-answering")
    adapter = checkpoints.adapter(base, tmp_path / "adapter")

    *_, last = test_run.passed(asked(base, adapter=adapter, variant="fp32"))

    assert "BertForQuestionAnswering of 2 layers" in last


@pytest.mark.toolchain
def test_a_test_tells_what_would_fail(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    (tmp_path / "golden.json").write_text('{"inputs": 3}')
    with pytest.raises(Exception, match=r"golden request golden\.json got status 400"):
        test_run.passed(asked(source, variant="fp32", golden=tmp_path / "golden.json"))


def test_a_graph_is_its_own_test(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    options = Options(str(tmp_path / "model.onnx"), tmp_path / "out", "tensors", test=True)
    with pytest.raises(UsageError, match="--test takes a model with weights for PyTorch"):
        test_run.passed(options)


@pytest.mark.toolchain
@pytest.mark.parametrize(
    ("kind", "given", "left"),
    [
        ("BertConfig", {}, {"num_hidden_layers": 2, "hidden_size": 768}),
        ("GPT2Config", {}, {"n_layer": 2}),
        ("DistilBertConfig", {}, {"n_layers": 2}),
        ("BartConfig", {}, {"encoder_layers": 2, "decoder_layers": 2}),
        ("SwinConfig", {}, {"depths": [1, 1, 1, 1]}),
        ("GPTNeoConfig", {}, {"num_layers": 2, "attention_layers": ["global", "local"]}),
        ("Qwen3Config", {"layer_types": ["full_attention"] * 32}, {"num_hidden_layers": 2}),
    ],
)
def test_layers_are_left_out(kind: str, given: dict[str, Any], left: dict[str, Any]) -> None:
    import transformers

    from onnxferry.scripts.prepare.sources.huggingface.small_copy import shrink

    config = getattr(transformers, kind)(**given)
    shrink(config)
    assert {name: getattr(config, name) for name in left} == left
    assert len(getattr(config, "layer_types", None) or [0, 0]) == 2


@pytest.mark.toolchain
def test_a_large_vocabulary_is_made_narrower() -> None:
    import transformers

    from onnxferry.scripts.prepare.sources.huggingface.small_copy import narrow

    large = transformers.XLMRobertaConfig(
        vocab_size=250_002, hidden_size=1024, num_attention_heads=16, intermediate_size=4096
    )
    assert narrow(large)
    assert (large.hidden_size, large.num_attention_heads, large.intermediate_size) == (128, 2, 512)
    assert large.vocab_size == 250_002
    assert not narrow(transformers.BertConfig())
