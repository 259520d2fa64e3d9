"""A model folder of DeepSparse (config.json, tokenizer.json, model.onnx) as the spec that a model
directory holds in model_spec.json. Only these files are read, without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.pipelines.errors import PipelineError
from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.labels import logits_output
from onnxferry.scoring.manifest import TOKENIZER_FILE, ModelSpec
from onnxferry.scoring.scorer import located
from onnxferry.scoring.settings import MIN_LENGTH

LONGEST = 512  # tokens, where the files tell no length
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]  # ImageNet's, in every image pipeline
_POSITIONS = ("max_position_embeddings", "n_positions")
_OFFSET = {  # families whose first position is pad_token_id + 1
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "longformer", "mpnet"),
    *("data2vec-text", "ibert"),
}
_CONFIG = "config.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"


def spec_of_folder(path: Path, task: str, image_size: list[int] | None = None) -> ModelSpec:
    """The spec for `task`, one of ours, of a folder or an .onnx file in it. `image_size`: height
    and width, where the graph leaves them open. Raises PipelineError for what is missing."""
    folder, model = located(path)
    if not model.is_file():
        raise PipelineError(f"{model}: no such file; give it, or the folder that holds model.onnx")
    name = folder.resolve().name
    if task == "image-classification":
        return _of_images(model, name, image_size)
    config, tokenizer = _read(folder / _CONFIG), _read(folder / _TOKENIZER_CONFIG)
    if not (folder / TOKENIZER_FILE).is_file():
        how = "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it"
        raise PipelineError(f"{folder}: no {TOKENIZER_FILE}, which text tasks need; {how}")
    settings = _text_settings(config, tokenizer, folder)
    if task == "text-classification" and config.get("problem_type"):
        settings["problem_type"] = config["problem_type"]
    return ModelSpec(name, task, settings, _labels(folder, config, task))


def _read(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file, {} where there is no file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as e:
        raise PipelineError(f"{path}: not readable as JSON ({e})") from e
    if not isinstance(found, dict):
        raise PipelineError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def _labels(folder: Path, config: Mapping[str, Any], task: str) -> tuple[str, ...]:
    """Of a classifier. A configuration without names has two, as in transformers."""
    if not task.endswith("-classification"):
        return ()
    if not config:
        raise PipelineError(f"{folder}: no {_CONFIG}, which tells the labels")
    found = config.get("id2label")
    if not found:
        return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2)))
    try:
        return tuple(str(found[key]) for key in sorted(found, key=int))
    except (TypeError, ValueError) as e:
        raise PipelineError(f"{folder / _CONFIG}: 'id2label' must name each number ({e})") from e


def _text_settings(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    known = tokenizer.get("model_max_length"), _positions(config), LONGEST
    length = min(int(n) for n in known if isinstance(n, int | float) and n >= MIN_LENGTH)
    settings = {"max_length": length, "pad_token_id": _pad(config, tokenizer, folder)}
    for name in ("truncation_side", "split_special_tokens"):
        if tokenizer.get(name):
            settings[name] = tokenizer[name]
    inputs = tokenizer.get("model_input_names")
    if inputs and "token_type_ids" not in inputs:
        settings["token_type_ids"] = False
    return settings


def _positions(config: Mapping[str, Any]) -> int | None:
    """How many tokens the model has embeddings for; None: not told."""
    given = (config.get(name) for name in _POSITIONS)
    found = next((positions for positions in given if isinstance(positions, int)), None)
    if found is None or config.get("model_type") not in _OFFSET:
        return found
    return int(found - (config.get("pad_token_id") or 0) - 1)


def _pad(config: Mapping[str, Any], tokenizer: Mapping[str, Any], folder: Path) -> int | None:
    """The id of the padding token: the configuration's, or the tokenizer's by its name."""
    if isinstance(found := config.get("pad_token_id"), int) and found >= 0:
        return found
    named = tokenizer.get("pad_token") or _read(folder / "special_tokens_map.json").get("pad_token")
    name = named.get("content") if isinstance(named, dict) else named
    tokens = _read(folder / TOKENIZER_FILE)
    added = {entry["content"]: entry["id"] for entry in tokens.get("added_tokens") or ()}
    return added.get(name) if name else None


def _of_images(model: Path, name: str, size: list[int] | None) -> ModelSpec:
    """Resized to 256/224 of the graph's size, cropped in the middle, normalised as ImageNet."""
    session = Session(model, EngineOptions(threads=1, prepack=False))
    sides = session.inputs[0].shape[2:]
    fixed = [side for side in sides if isinstance(side, int) and side > 0]
    if size is None and len(fixed) != 2:
        raise PipelineError(f"{model}: the graph leaves a picture's size open; give 'image_size'")
    height, width = size or fixed
    scores = session.outputs[logits_output(session)].shape
    if not scores or not isinstance(count := scores[-1], int):
        raise PipelineError(f"{model}: the graph does not tell how many classes it scores")
    larger = [round(256 / 224 * side) for side in (height, width)]
    steps = [
        {"op": "resize", "size": larger, "resample": "bilinear"},
        {"op": "center_crop", "size": [height, width]},
    ]
    settings = {
        "preprocess": steps,
        "rescale_factor": 1 / 255,
        "image_mean": MEAN,
        "image_std": STD,
    }
    return ModelSpec(name, "image-classification", settings, tuple(map(str, range(count))))
