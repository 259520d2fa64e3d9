"""What is wrong with a model folder, found in a moment: without torch, and before weights are
downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from onnxferry.scoring.manifest import SPEC_FILE
from onnxferry.scripts.prepare import disk_space
from onnxferry.scripts.prepare.sources.hub.model_files import size
from onnxferry.scripts.prepare.sources.huggingface import exporters
from onnxferry.scripts.prepare.sources.inspection import (
    safetensors_header,
    supported,
    tokenizer_settings,
)
from onnxferry.scripts.prepare.sources.inspection.source_folder import SourceFolder
from onnxferry.scripts.prepare.sources.inspection.task_inference import (
    ADAPTER_CONFIG,
    CONFIG,
    infer_task,
)
from onnxferry.scripts.prepare.sources.settings import labels, sentence_transformers
from onnxferry.scripts.prepare.sources.settings.image_settings import is_image_task
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "bpe.codes", ".model", ".tiktoken")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_ELSEWHERE = {  # other frameworks' weights
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".gguf": "llama.cpp",
    ".ot": "Rust",
    ".ckpt": "TensorFlow 1 or Lightning",
}
_HEADS = ("classifier.weight", "score.weight", "classifier.out_proj.weight")
Check = Callable[[SourceFolder], Iterable[str]]


def mistakes(source: SourceFolder) -> list[str]:
    """All that is wrong with a model folder or hub model, one sentence each."""
    found = (sentence for check in CHECKS for sentence in told(check, source))
    return list(dict.fromkeys(found))  # several checks may end in one error


def notes(source: SourceFolder) -> list[str]:
    """What is not wrong, but may be."""
    texts = source.task and not is_image_task(source.task)
    return [*tokenizer_settings.notes(source.options.tokenizer or source.model)] if texts else []


def told(check: Callable[..., Iterable[str]], *arguments: Any) -> list[str]:
    """What a check says, or the error that it ends in."""
    try:
        return list(check(*arguments))
    except UsageError as e:
        return [str(e)]


def _config(source: SourceFolder) -> Iterator[str]:
    path = source.model / CONFIG
    if not path.is_file():
        yield f"{source.options.source}: holds no {CONFIG}{_rather(source)}"
        return
    config = read_object(path)
    for why in (supported.unsupported(config), supported.newer(config)):
        if why:
            yield f"{path}: {why}"


def _rather(source: SourceFolder) -> str:
    if ADAPTER_CONFIG in source.files:
        return ", but an adapter: give its base model as SOURCE, and this folder with --adapter"
    if SPEC_FILE in source.files:
        return ", but is a model directory, as prepare makes it: only --tune SCENARIO takes one"
    return ", so it is no folder of a Hugging Face model"


def _weights(source: SourceFolder) -> Iterator[str]:
    if not source.weights:
        kinds = {_ELSEWHERE.get(PurePosixPath(path).suffix) for path in source.files} - {None}
        other = f", only those of {' and '.join(sorted(map(str, kinds)))}" if kinds else ""
        wanted = "model.safetensors, pytorch_model.bin, or an .onnx file"
        yield f"{source.options.source}: holds no weights{other}; expected {wanted}"
    for path in source.weights:
        here = source.root / path
        if path.endswith(".index.json") and here.is_file():
            yield from _shards(source, path)
        elif path.endswith(".safetensors") and here.is_file():
            yield from _broken(here)


def _shards(source: SourceFolder, index: str) -> Iterator[str]:
    held = read_object(source.root / index).get("weight_map")
    names = set(held.values()) if isinstance(held, dict) else {"no weight_map"}
    folder = PurePosixPath(index).parent
    missing = sorted(n for n in names if (folder / str(n)).as_posix() not in source.files)
    if missing:
        yield f"{source.root / index}: names files that are not there: {', '.join(missing[:3])}"


def _broken(path: Path) -> Iterator[str]:
    try:
        safetensors_header.read(path)
    except ValueError as e:
        yield f"{path}: {e}"


def _task(source: SourceFolder) -> Iterable[str]:
    if source.config and not source.options.task:
        infer_task(source.config, source.root, source.options.adapter)
    return ()


def _tokenizer(source: SourceFolder) -> Iterator[str]:
    """For texts a vocabulary, for pictures an image processor."""
    options, task = source.options, source.task
    if task and is_image_task(task):
        if not options.settings and not _holds(source, *_PROCESSORS):
            advice = "write the preprocessing into --settings FILE"
            yield f"{options.source}: holds no {_PROCESSORS[0]}; {advice}"
    elif task:
        here = options.tokenizer
        names = [p.name for p in here.iterdir()] if here else map(_name, source.files)
        yield from tokenizer_settings.mistakes(here or source.model)
        if not any(name.endswith(_VOCABULARIES) for name in names):
            where = f"--tokenizer {here}" if here else options.source
            kinds = f"holds no tokenizer ({', '.join(_VOCABULARIES)})"
            yield f"{where}: {kinds}; give the folder of one with --tokenizer"


def _modules(source: SourceFolder) -> Iterable[str]:
    """What a sentence-transformers folder says can be followed."""
    if source.task in sentence_transformers.TASKS:
        sentence_transformers.read(source.root)
    return ()


def _holds(source: SourceFolder, *names: str) -> bool:
    return any(_name(path) in names for path in source.files)


def _name(path: str) -> str:
    return PurePosixPath(path).name


def _labels(source: SourceFolder) -> Iterator[str]:
    """id2label names each output once, and as many as the head has."""
    path, named = source.model / CONFIG, source.config.get("id2label")
    if named is None or source.options.adapter or source.task not in labels.CLASSIFIERS:
        return
    if not isinstance(named, dict) or not all(str(key).isdecimal() for key in named):
        yield f"{path}: id2label must map numbers to names"
        return
    count = _head_size(source) or max(map(int, named), default=-1) + 1
    if missing := sorted(set(range(count)) - set(map(int, named))):
        which = ", ".join(map(str, missing[:5]))
        yield f"{path}: id2label names no label for output {which} of {count}; complete it"
    elif len(named) != count:
        yield f"{path}: id2label names {len(named)} labels, but the model has {count}"
    elif (given := _given_labels(source)) and given != count:
        which = f"--labels {source.options.labels}: {given} labels"
        yield f"{which}, but the model has {count}: {', '.join(map(str, named.values()))[:200]}"


def _given_labels(source: SourceFolder) -> int:
    """How many the user names; 0: none, or none that can be read, which is told elsewhere."""
    try:
        return len(labels.read(source.options.labels, str(source.task)))
    except UsageError:
        return 0


def _head_size(source: SourceFolder) -> int | None:
    """How many outputs the head has, by its weights."""
    files = (source.root / path for path in source.weights if path.endswith(".safetensors"))
    for path in files:
        try:
            held = safetensors_header.read(path) if path.is_file() else {}
        except ValueError:
            return None
        for name in _HEADS:
            if name in held and len(held[name].shape) == 2:
                return held[name].shape[0]
    return None


def _room(source: SourceFolder) -> Iterator[str]:
    out = source.options.out.resolve()
    wanted, free = needed_room(source), disk_space.free(out)
    if wanted > free:
        room = f"about {size(wanted)} are needed while it is prepared, and {size(free)} are free"
        yield f"--out {out}: {room}; give an --out on another disk, or make room"


def needed_room(source: SourceFolder) -> int:
    """Bytes beside --out while the model is prepared, by the size of its weights."""
    kind = str(source.config.get("torch_dtype") or source.config.get("dtype"))
    half = kind in ("float16", "bfloat16") and not source.graph
    return disk_space.needed(source.options, source.weight_bytes * (2 if half else 1))


def _adapter(source: SourceFolder) -> Iterator[str]:
    adapter = source.options.adapter
    if adapter is None:
        return
    if not (adapter / ADAPTER_CONFIG).is_file():
        yield f"--adapter {adapter}: not a PEFT adapter folder ({ADAPTER_CONFIG})"
    elif not any(adapter.glob("adapter_model.*")):
        yield f"--adapter {adapter}: holds no weights (adapter_model.safetensors)"


def _exporter(source: SourceFolder) -> Iterator[str]:
    return exporters.mistakes(source.options.exporter)


CHECKS: tuple[Check, ...] = (
    *(_exporter, _config, _weights, _adapter),
    *(_task, _tokenizer, _modules, _labels, _room),
)
