"""The ONNX graph of a transformers model, by torch.onnx.export: inputs as forward takes them,
outputs as the task reads them.

By TorchScript, whose graphs are known longest; by torch.export where that fails, and first for
models of more than LARGE bytes, since it needs less than half of the memory.
"""

from __future__ import annotations

import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch

from onnxferry.scoring.settings import MIN_LENGTH
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.huggingface.attention_masks import traceable_masks
from onnxferry.scripts.prepare.sources.huggingface.classifier_heads import traceable_forward
from onnxferry.system.errors import PrepareError

_ANY_SIZE = {0: "batch_size", 2: "height", 3: "width"}
EXAMPLE_SIZE = (128, 160)  # of a picture, where any size is taken
LARGE = 1_500_000_000  # bytes of weights
DYNAMO_OPSET = 18  # what torch.export writes; made into 17, some graphs are invalid
# what only some models of a task give: not every vision model pools
_FURTHER = {"image-feature-extraction": {"pooler_output": pytorch.ROW}}
# int64 [batch, tokens]; of positions a model counts its own
TEXT_INPUTS = (*pytorch.TEXT_INPUTS, "pooling_mask")
PIXELS = "pixel_values"  # float32 [batch, channels, height, width]; no picture is padded


@dataclass(frozen=True)
class GraphRequest:
    """What graph is wanted. `inputs`: what the tokenizer gives. `size`: (height, width) of
    pictures; None: any of a detector's, else the model's own. `opset` None: the exporter's."""

    task: str
    inputs: Sequence[str] = ()
    size: tuple[int, int] | None = None
    opset: int | None = None


@dataclass(frozen=True)
class _Traced:
    """A model with two rows of each input, and the free axes of inputs and outputs."""

    model: Any
    example: Mapping[str, torch.Tensor]
    axes: Mapping[str, pytorch.Axes]
    outputs: Sequence[str]

    @property
    def names(self) -> dict[str, list[str]]:
        return {"input_names": list(self.example), "output_names": list(self.outputs)}

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Each an object of its own: torch.export takes one given twice as one input."""
        return tuple(tensor.clone() for tensor in self.example.values())


Way: TypeAlias = Callable[[_Traced, Path, int], None]


def export(model: Any, path: Path, wanted: GraphRequest) -> None:
    """Write `model`, in evaluation mode, to `path`; weights beyond 2 GB beside it. Raises
    PrepareError with the reasons of both ways."""
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    traced = _traced(model, wanted)
    large = sum(p.numel() * p.element_size() for p in model.parameters()) > LARGE
    free = wanted.opset in (None, DYNAMO_OPSET)
    ways = [_torchscript, _dynamo] if free else [_torchscript]
    ways = ways[::-1] if large else ways
    failed: list[str] = []
    for way in ways:
        why = _attempt(way, traced, path, wanted.opset or pytorch.OPSET)
        if why is None:
            return
        failed.append(why)
    raise PrepareError(f"export of {type(model).__name__} failed {'; '.join(failed)}")


def _attempt(way: Way, traced: _Traced, path: Path, opset: int) -> str | None:
    """None, or why it failed."""
    try:
        _written(way, traced, path, opset)
    except Exception as e:  # whatever a model's code and torch's exporters raise
        return f"by {way.__name__[1:]}: {type(e).__name__}: {str(e)[:1000]}"
    return None


def _written(way: Way, traced: _Traced, path: Path, opset: int) -> None:
    """By one way, in a folder of its own: what it leaves there when it fails is gone."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        with _positional(traced.model, list(traced.example), traced.outputs), _quiet():
            way(traced, Path(scratch) / path.name, opset)
        for made in Path(scratch).iterdir():
            made.replace(path.with_name(made.name))


def _torchscript(traced: _Traced, path: Path, opset: int) -> None:
    names = {**traced.names, "dynamic_axes": traced.axes, "dynamo": False}
    torch.onnx.export(traced.model, traced.tensors, str(path), opset_version=opset, **names)


def _dynamo(traced: _Traced, path: Path, opset: int) -> None:
    shapes = (tuple(dict(traced.axes[name]) for name in traced.example),)
    how = {**traced.names, "dynamic_shapes": shapes, "dynamo": True, "verbose": False}
    where = {"external_data": True, "opset_version": DYNAMO_OPSET}
    torch.onnx.export(traced.model, traced.tensors, str(path), **how, **where)


@contextmanager
def _quiet() -> Iterator[None]:
    with torch.no_grad(), warnings.catch_warnings(), traceable_masks():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _positional(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Iterator[None]:
    """Within the block forward takes `inputs` by position and gives the tuple of `outputs`: no
    caches, hidden states or losses. A module around the model would do so too, but then every
    operator would carry its name."""
    forward = traceable_forward(model)

    def chosen(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = forward(**dict(zip(inputs, tensors, strict=True)), return_dict=True)
        return tuple(result[name] for name in outputs)

    model.forward = chosen
    try:
        yield
    finally:
        del model.forward


def _traced(model: Any, wanted: GraphRequest) -> _Traced:
    any_size = wanted.task == "object-detection" and wanted.size is None
    example = _example(model, wanted.inputs, EXAMPLE_SIZE if any_size else wanted.size)
    own = getattr(model, "onnx_outputs", None)
    outputs = own or {**pytorch.outputs(wanted.task), **_further(model, example, wanted.task)}
    pixels = _ANY_SIZE if any_size else pytorch.ROW
    axes = {name: pixels if name == PIXELS else pytorch.TOKEN for name in example} | dict(outputs)
    return _Traced(model, example, axes, list(outputs))


def _further(
    model: Any, example: Mapping[str, torch.Tensor], task: str
) -> Mapping[str, pytorch.Axes]:
    """Those of _FURTHER that the model gives."""
    if task not in _FURTHER:
        return {}
    with torch.no_grad():
        result = model(**example, return_dict=True)
    return {name: axes for name, axes in _FURTHER[task].items() if result.get(name) is not None}


def _example(model: Any, inputs: Sequence[str], size: Any) -> dict[str, torch.Tensor]:
    """Two rows of each input that forward takes and the tokenizer, or image processor, gives."""
    taken = inspect.signature(model.forward).parameters
    pictures = PIXELS in taken
    names = [PIXELS] if pictures else [n for n in TEXT_INPUTS if n in taken and n in inputs]
    _check_inputs(model, taken, names)
    if not pictures:
        ids = torch.ones(2, MIN_LENGTH, dtype=torch.int64)
        # a model may have one type of token, 0
        return {n: ids * 0 if n == "token_type_ids" else ids.clone() for n in names}
    size = size or getattr(model.config, "image_size", None) or 224
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels = getattr(model.config, "num_channels", 3)
    return {PIXELS: torch.zeros(2, channels, height, width)}


def _check_inputs(model: Any, taken: Mapping[str, inspect.Parameter], names: Sequence[str]) -> None:
    """Raise PrepareError where forward needs what no task gives, or takes nothing of this one."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    bare = [p.name for p in taken.values() if p.default is p.empty and p.kind in named]
    if lacking := [name for name in bare if name not in names]:
        what = f"{type(model).__name__}: this architecture is not supported"
        raise PrepareError(f"{what}: it needs {', '.join(lacking)}")
    if not names:
        takes = ", ".join(list(taken)[:6])
        raise PrepareError(f"{type(model).__name__}: takes {takes}, and neither texts nor pictures")
