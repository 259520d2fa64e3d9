"""The ONNX graph of a transformers model, by torch.onnx.export: inputs as forward takes them,
outputs as the task reads them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from onnxferry.scoring.settings import MIN_LENGTH
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.source import prepare_errors

_ROW = {0: "batch_size"}
_TOKEN = {0: "batch_size", 1: "sequence_length"}
OUTPUTS: dict[str, Mapping[str, pytorch.Axes]] = {  # of other tasks {"logits": _ROW}
    "question-answering": {"start_logits": _TOKEN, "end_logits": _TOKEN},
    "feature-extraction": {"last_hidden_state": _TOKEN},
    "token-classification": {"logits": _TOKEN},
    "fill-mask": {"logits": _TOKEN},
}
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class _Positional(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Tensors in by position, the named outputs out: no caches, hidden states or losses."""

    def __init__(self, model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, tuple(inputs), tuple(outputs)

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """In the order of `inputs`; out in the order of `outputs`."""
        named = dict(zip(self.inputs, tensors, strict=True))
        result = self.model(**named, return_dict=True)
        return tuple(result[name] for name in self.outputs)


def export(model: Any, path: Path, task: str, opset: int, inputs: Sequence[str]) -> None:
    """Write `model`, in evaluation mode, as ONNX. `inputs`: what the tokenizer gives."""
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    outputs = OUTPUTS.get(task, {"logits": _ROW})
    example = _example(model, inputs)
    axes = {name: _ROW if name == "pixel_values" else _TOKEN for name in example} | dict(outputs)
    wrapper = _Positional(model, list(example), list(outputs)).eval()
    names = {"input_names": list(example), "output_names": list(outputs), "dynamic_axes": axes}
    with (
        prepare_errors(f"export of {type(model).__name__}"),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        tensors = tuple(example.values())
        torch.onnx.export(wrapper, tensors, str(path), opset_version=opset, dynamo=False, **names)


def _example(model: Any, inputs: Sequence[str]) -> dict[str, torch.Tensor]:
    """Two rows of each input that forward takes and the tokenizer, or image processor, gives."""
    taken = inspect.signature(model.forward).parameters
    if "pixel_values" in taken:
        size = getattr(model.config, "image_size", None) or 224
        height, width = size if isinstance(size, list | tuple) else (size, size)
        channels = getattr(model.config, "num_channels", 3)
        return {"pixel_values": torch.zeros(2, channels, height, width)}
    names = [name for name in TEXT_INPUTS if name in taken and name in inputs]
    return {name: torch.ones(2, MIN_LENGTH, dtype=torch.int64) for name in names}
