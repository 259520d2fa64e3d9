"""The ONNX graph of a transformers model, by torch.onnx.export: inputs as forward takes them,
outputs as the task reads them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from onnxferry.scoring.settings import MIN_LENGTH
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.huggingface_masks import traceable_masks
from onnxferry.scripts.prepare.sources.source import prepare_errors

_ROW = {0: "batch_size"}
_TOKEN = {0: "batch_size", 1: "sequence_length"}
_ANY_SIZE = {0: "batch_size", 2: "height", 3: "width"}
EXAMPLE_SIZE = (128, 160)  # of a picture, where any size is taken
OUTPUTS: dict[str, Mapping[str, pytorch.Axes]] = {  # of other tasks {"logits": _ROW}
    "question-answering": {"start_logits": _TOKEN, "end_logits": _TOKEN},
    "feature-extraction": {"last_hidden_state": _TOKEN},
    "token-classification": {"logits": _TOKEN},
    "fill-mask": {"logits": _TOKEN},
    "sentence-similarity": {"last_hidden_state": _TOKEN},
    "image-feature-extraction": {"last_hidden_state": _ROW, "pooler_output": _ROW},
    "object-detection": {"logits": _ROW, "pred_boxes": _ROW},
}
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "pooling_mask")


@contextmanager
def _positional(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Iterator[None]:
    """Within the block forward takes `inputs` by position and gives the tuple of `outputs`: no
    caches, hidden states or losses. A module around the model would do so too, but then every
    operator would carry its name."""
    forward = model.forward

    def chosen(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = forward(**dict(zip(inputs, tensors, strict=True)), return_dict=True)
        return tuple(result[name] for name in outputs)

    model.forward = chosen
    try:
        yield
    finally:
        del model.forward


def export(  # noqa: PLR0913, PLR0917
    model: Any, path: Path, task: str, opset: int, inputs: Sequence[str], size: Any = None
) -> None:
    """Write `model`, in evaluation mode, as ONNX. `inputs`: what the tokenizer gives; `size`: of
    its pictures (height, width); None, of a detector: any."""
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    any_size = task == "object-detection" and size is None
    example = _example(model, inputs, EXAMPLE_SIZE if any_size else size)
    own = getattr(model, "onnx_outputs", None)
    outputs = own or _given(model, example, OUTPUTS.get(task, {"logits": _ROW}))
    pixels = _ANY_SIZE if any_size else _ROW
    axes = {name: pixels if name == "pixel_values" else _TOKEN for name in example} | dict(outputs)
    names = {"input_names": list(example), "output_names": list(outputs), "dynamic_axes": axes}
    with (
        prepare_errors(f"export of {type(model).__name__}"),
        torch.no_grad(),
        warnings.catch_warnings(),
        traceable_masks(),
        _positional(model, list(example), list(outputs)),
    ):
        warnings.simplefilter("ignore")
        tensors = tuple(example.values())
        torch.onnx.export(model, tensors, str(path), opset_version=opset, dynamo=False, **names)


def _given(
    model: Any, example: Mapping[str, torch.Tensor], outputs: Mapping[str, pytorch.Axes]
) -> Mapping[str, pytorch.Axes]:
    """Those of `outputs` that the model gives: not every vision model pools."""
    if len(outputs) == 1:
        return outputs
    with torch.no_grad():
        result = model(**example, return_dict=True)
    return {name: axes for name, axes in outputs.items() if result.get(name) is not None}


def _example(model: Any, inputs: Sequence[str], size: Any) -> dict[str, torch.Tensor]:
    """Two rows of each input that forward takes and the tokenizer, or image processor, gives."""
    taken = inspect.signature(model.forward).parameters
    if "pixel_values" in taken:
        size = size or getattr(model.config, "image_size", None) or 224
        height, width = size if isinstance(size, list | tuple) else (size, size)
        channels = getattr(model.config, "num_channels", 3)
        return {"pixel_values": torch.zeros(2, channels, height, width)}
    names = [name for name in TEXT_INPUTS if name in taken and name in inputs]
    return {name: torch.ones(2, MIN_LENGTH, dtype=torch.int64) for name in names}
