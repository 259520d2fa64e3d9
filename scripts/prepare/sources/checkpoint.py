"""A Hugging Face model folder, with or without an adapter, as a source."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import OPTIMUM, TORCH, Options
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.scripts.prepare.sources.huggingface import (
    embeddings_reference,
    question_reference,
    sentence_layers,
    transformers_model,
)
from onnxferry.scripts.prepare.sources.huggingface.fast_tokenizers import fast_tokenizer
from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest
from onnxferry.scripts.prepare.sources.inspection.task_inference import infer_task
from onnxferry.scripts.prepare.sources.known_outputs import KnownOutputs
from onnxferry.scripts.prepare.sources.settings import (
    head_settings,
    image_settings,
    labels,
    sentence_transformers,
)
from onnxferry.scripts.prepare.sources.settings.padding import padding_side
from onnxferry.scripts.prepare.sources.settings.sentence_transformers import SentenceModel
from onnxferry.scripts.prepare.sources.settings.text_settings import text_settings
from onnxferry.scripts.prepare.sources.settings.user_settings import read_user_settings
from onnxferry.scripts.prepare.sources.source import AskPipeline, ModelSource
from onnxferry.system import console
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import combined_sha256
from onnxferry.system.text_files import read_object


def load(options: Options) -> ModelSource:
    """Load the model, merge the adapter, and derive the settings from the folder."""
    root = Path(options.source)
    folder = sentence_transformers.model_folder(root)
    config = transformers_model.read_config(folder)
    _tell_own_code(config)
    task = options.task or infer_task(config.to_dict(), root, options.adapter)
    sentence = _sentence(root, task)
    names = _labels(options, config, task)
    with stage("load the source model"):
        model = transformers_model.load(folder, config, task, options.adapter)
    if options.adapter:
        with stage(f"merge adapter {options.adapter.name}"):
            model = transformers_model.merge(model, options.adapter)
    record = _record(folder, type(model).__name__, options.adapter)
    record = {**record, "name": root.resolve().name, **_layers(sentence)}
    model = sentence_layers.with_layers(model, sentence)
    run = KnownOutputs(pytorch.runner(model))
    source = ModelSource(task, lambda _: None, run, {}, names, record=record)
    source = _with_settings(replace(source, config=_described(config)), sentence, options)
    if source.tokenizer:
        sentence_layers.pad_with(model, source.settings["pad_token_id"])
    source = replace(source, export=_export(model, source, sentence, options))
    if task in sentence_transformers.TASKS:
        return replace(source, pipeline=_embeddings(model, source, sentence, options))
    return replace(source, pipeline=_pipeline(model, source, options))


def _embeddings(
    model: Any, source: ModelSource, sentence: SentenceModel, options: Options
) -> Callable[[], AskPipeline]:
    """The library itself only for the folder as it is."""
    as_it_is = not (options.settings or options.adapter or options.tokenizer)
    root = Path(options.source) if as_it_is else None

    def make() -> AskPipeline:
        tokenizer = fast_tokenizer(options.tokenizer or sentence.model)
        recipe = embeddings_reference.TorchRecipe(
            model, tokenizer, source.settings, sentence.lower_case
        )
        return embeddings_reference.reference(recipe, root)

    return make


def _pipeline(
    model: Any, source: ModelSource, options: Options
) -> Callable[[], AskPipeline] | None:
    """None where a user's settings, which a pipeline does not know, say how pictures are read, and
    for pictures in grey: it makes all of them RGB."""
    folder, task = Path(options.source), source.task
    if image_settings.is_image_task(task):
        unknown = options.settings or len(source.settings["image_mean"]) == 1
        return None if unknown else lambda: transformers_model.image_pipeline(model, folder, task)
    length, tokenizer = source.settings["max_length"], options.tokenizer or folder
    if task == "question-answering":
        words, run = fast_tokenizer(tokenizer), source.run or pytorch.runner(model)
        inputs = pytorch.parameters(model)
        return lambda: question_reference.SpanRecipe(run, inputs, words, length)
    return lambda: transformers_model.pipeline(model, tokenizer, task, length)


def _export(
    model: Any, source: ModelSource, sentence: SentenceModel, options: Options
) -> Callable[[Path], None]:
    inputs = source.tokenizer.inputs if source.tokenizer else ()
    inputs = inputs if sentence.include_prompt else (*inputs, "pooling_mask")
    pictures = image_settings.is_image_task(source.task)
    open_size = pictures and image_settings.has_open_size(source.settings)
    any_size = open_size and source.task == "object-detection"
    size = image_settings.input_size(source.settings) if pictures and not any_size else None
    wanted = GraphRequest(source.task, inputs, size, options.opset)
    name = {TORCH: "torch_export", OPTIMUM: "optimum_export"}[options.exporter]
    # optimum may not be installed
    exporter = importlib.import_module(f"{__package__}.huggingface.{name}")
    return lambda path: exporter.export(model, path, wanted)


def _tell_own_code(config: Any) -> None:
    """Of a model with code of its own that transformers also has a class for."""
    own = getattr(config, "auto_map", None) or {}
    if named := ", ".join(str(own[kind]) for kind in own if kind.startswith("AutoModel")):
        what = f"config.json names code of the model's own ({named}), which is never run"
        instead = f"transformers' own {config.model_type} is taken, and may answer otherwise"
        console.err.print(f"    {what}: {instead}", style="yellow", markup=False)


def _described(config: Any) -> dict[str, Any]:
    """The configuration's data, with the number of positions under the one name of all families."""
    positions = getattr(config, "max_position_embeddings", None)
    return {**config.to_dict(), "max_position_embeddings": positions}


def described(folder: Path, options: Options) -> ModelSource:
    """What a model folder says of a graph in it: a source that neither exports nor runs."""
    model = sentence_transformers.model_folder(folder)
    config = transformers_model.read_config(model)
    task = options.task or infer_task(config.to_dict(), folder, None)
    source = ModelSource(task, lambda _: None, None, {}, _labels(options, config, task))
    source = replace(source, config=_described(config))
    return _with_settings(source, _sentence(folder, task), options)


def _sentence(folder: Path, task: str) -> SentenceModel:
    """What follows the model of a task that embeds."""
    if task in sentence_transformers.TASKS:
        return sentence_transformers.read(folder)
    return SentenceModel(sentence_transformers.model_folder(folder))


def _labels(options: Options, config: Any, task: str) -> tuple[str, ...]:
    """The user's, else the configuration's. An adapter's head takes the size of the user's."""
    names = labels.read(options.labels, task)
    if task not in labels.CLASSIFIERS:
        return names
    names = names or labels.from_config(config.id2label)
    count = config.num_labels
    if len(names) != count and not options.adapter:
        found = f"{len(names)} labels, but the model has {count}"
        raise UsageError(f"--labels {options.labels}: {found}")
    labels.check_entailment(names, task)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    return names


def _with_settings(source: ModelSource, sentence: SentenceModel, options: Options) -> ModelSource:
    folder = sentence.model
    given = read_user_settings(options.settings, source.task)
    own = head_settings.head_settings(source.task, folder, source.config)
    if image_settings.is_image_task(source.task):
        return _with_image_settings(source, folder, {**own, **given}, not given)
    tokenizer = transformers_model.read_tokenizer(options.tokenizer or folder)
    if source.run:  # it is exported here
        tokenizer = replace(tokenizer, padding_side=padding_side(tokenizer, source.config))
    if sentence.lower_case:
        tokenizer = replace(tokenizer, json=sentence_transformers.lowercased(tokenizer.json))
    given, of_folder = {**own, **given}, sentence.settings_of(source.task)
    settings = text_settings(source.task, tokenizer, source.config, given, of_folder)
    return replace(source, tokenizer=tokenizer, settings=settings)


def _with_image_settings(
    source: ModelSource, folder: Path, given: Mapping[str, Any], derived: bool
) -> ModelSource:
    """`derived`: none is the user's, so they must make the processor's pixels."""
    if given.keys() >= set(image_settings.NEEDED):
        return replace(source, settings=image_settings.image_settings({}, given, source.task))
    processor = transformers_model.image_processor(folder)
    channels = {"num_channels": source.config.get("num_channels", 3)}
    described = {**channels, **processor.to_dict()}
    settings = image_settings.image_settings(described, given, source.task)
    if derived:
        image_settings.check_pixels(settings, processor)
    return replace(source, settings=settings)


def _record(folder: Path, architecture: str, adapter: Path | None) -> dict[str, Any]:
    record = {"kind": "huggingface", "architecture": architecture, **_weights(folder)}
    if not adapter:
        return record
    found: dict[str, str] = _weights(adapter)
    base = str(read_object(adapter / "adapter_config.json").get("base_model_name_or_path") or "")
    if base and not Path(base).is_absolute():
        found["base_model"] = base
    return {**record, "adapter": found}


def _layers(sentence: SentenceModel) -> dict[str, str]:
    """The hash of what follows the pooling."""
    folders = [layer.folder for layer in sentence.layers]
    files = sorted(path for folder in folders for path in folder.glob("*") if path.is_file())
    return {"layers": combined_sha256(files)} if files else {}


def _weights(folder: Path) -> dict[str, str]:
    """The name of the folder, not its path, and the hash of the weights that are loaded."""
    files = model_files.weights(model_files.listing(folder), ("",))
    digest = combined_sha256(sorted(folder / name for name in files))
    return {"name": folder.resolve().name, "sha256": digest}
