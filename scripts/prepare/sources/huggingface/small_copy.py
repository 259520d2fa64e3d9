"""A copy of a model folder with two layers and random weights: configuration, tokenizer and other
files are the model's own, so that what would fail with the model fails with it, in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from peft import get_peft_model

from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.scripts.prepare.sources.huggingface import transformers_model
from onnxferry.scripts.prepare.sources.huggingface.fast_tokenizers import LOCAL
from onnxferry.scripts.prepare.sources.inspection.source_folder import SourceFolder
from onnxferry.scripts.prepare.sources.inspection.task_inference import CONFIG, HEADS
from onnxferry.scripts.prepare.sources.source import prepare_errors

LAYERS = 2
WIDE = 1 << 25  # weights of an embedding: a larger one is made narrower, where that can be done
_MODULE_BYTES = 50_000_000  # of the weights of what follows a sentence-transformers model
_COUNTS = (  # names of how many layers there are
    *("num_hidden_layers", "n_layers", "n_layer", "num_layers", "encoder_layers"),
    *("decoder_layers", "num_decoder_layers", "num_encoder_layers"),
)
_STAGES = ("depths", "block_sizes", "num_blocks")  # how many layers each stage has


def copy(source: SourceFolder, target: Path) -> str:
    """Write the copy into `target`; returns what it is. Raises PrepareError."""
    for path in _files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.root / path, target / path)
    place = target / source.model.relative_to(source.root)
    config = transformers_model.read_config(source.model)
    shrink(config)
    narrowed = not (target / model_files.MODULES).is_file() and narrow(config)
    with prepare_errors(f"a model of {source.model / CONFIG}"):
        kind = getattr(transformers, HEADS[str(source.task)])
        model = kind.from_config(config, attn_implementation="eager", trust_remote_code=False)
        model.float().save_pretrained(place)
    width = f", {config.hidden_size} wide," if narrowed else ""
    return f"{type(model).__name__} of {LAYERS} layers{width} with random weights"


def adapter(source: Path, base: Path, task: str, target: Path) -> None:
    """An adapter of the same configuration for the copy `base`, with random weights."""
    config = transformers_model.adapter_config(source)
    with prepare_errors(f"--adapter {source}: on a copy with {LAYERS} layers"):
        kind = getattr(transformers, HEADS[task])
        model = kind.from_pretrained(base, **LOCAL)
        get_peft_model(model, config).save_pretrained(str(target))


def _files(source: SourceFolder) -> list[str]:
    """All but the model's weights and configuration."""
    folders = sorted({Path(path).parent.as_posix() for path in source.files})
    places = ["" if folder == "." else folder for folder in folders]
    modules = [p for p in model_files.weights(source.files, places) if p not in source.weights]
    small = [p for p in modules if source.files[p] < _MODULE_BYTES]
    found = [*model_files.describing(source.files, places), *small]
    return [path for path in found if (source.root / path).is_file()]


def shrink(config: Any) -> None:
    """Leave LAYERS layers, one of each kind where they differ, and one in each stage."""
    for name, value in list(vars(config).items()):
        if name in _COUNTS and isinstance(value, int):
            setattr(config, name, min(value, LAYERS))
        elif name in _STAGES and isinstance(value, list | tuple):
            setattr(config, name, [min(int(count), 1) for count in value])
        elif name == "layer_types" and value:
            kinds = [*dict.fromkeys(value), *value][:LAYERS]
            setattr(config, name, kinds)
        elif isinstance(value, transformers.PretrainedConfig):
            shrink(value)
    _same_stages(config)


def _same_stages(config: Any) -> None:
    """GPT-Neo names the kinds of its layers in groups."""
    if groups := vars(config).get("attention_types"):
        config.attention_types = [[groups[0][0], 1]]
        config.num_layers = len(groups[0][0])
        config.attention_layers = list(groups[0][0])


def narrow(config: Any) -> bool:
    """Make the layers of a model with a large vocabulary two heads wide; False: left as it is."""
    held: Mapping[str, Any] = vars(config)
    width, heads = held.get("hidden_size"), held.get("num_attention_heads")
    if not width or not heads or width * (held.get("vocab_size") or 0) < WIDE or heads < LAYERS:
        return False
    narrower = width // heads * LAYERS
    for name in ("embedding_size", "hidden_size"):
        if held.get(name) == width:
            setattr(config, name, narrower)
    config.num_attention_heads = LAYERS
    if held.get("num_key_value_heads"):
        config.num_key_value_heads = 1 if held["num_key_value_heads"] < heads else LAYERS
    if inner := held.get("intermediate_size"):
        config.intermediate_size = inner * narrower // width
    return True
