"""PyTorch modules: run, export and hash them. With huggingface/ the only importer of torch."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.sources.source import Feeds, RunModel, prepare_errors
from onnxferry.system.errors import PrepareError

OPSET = 17
Axes: TypeAlias = Mapping[int, str]  # the dynamic axes of an input or an output, and their names
ROW = {0: "batch_size"}
TOKEN = {0: "batch_size", 1: "sequence_length"}
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OUTPUTS: dict[str, Mapping[str, Axes]] = {
    "question-answering": {"start_logits": TOKEN, "end_logits": TOKEN},
    "feature-extraction": {"last_hidden_state": TOKEN},
    "token-classification": {"logits": TOKEN},
    "fill-mask": {"logits": TOKEN},
    "sentence-similarity": {"last_hidden_state": TOKEN},
    "image-feature-extraction": {"last_hidden_state": ROW},
    "object-detection": {"logits": ROW, "pred_boxes": ROW},
}


def outputs(task: str) -> Mapping[str, Axes]:
    """What a model of `task` gives, by name."""
    return _OUTPUTS.get(task, {"logits": ROW})


def runner(module: torch.nn.Module) -> RunModel:
    """`module` as a function of arrays. Outputs are found by name, else by position."""
    wanted = parameters(module)

    def run(feeds: Feeds, outputs: Sequence[str]) -> list[Array]:
        tensors = {n: torch.from_numpy(np.asarray(v, order="C")) for n, v in feeds.items()}
        with torch.inference_mode():
            by_name = tensors.keys() <= set(wanted)
            result = module(**tensors) if by_name else module(*tensors.values())
        return [tensor.detach().cpu().numpy() for tensor in _ordered(result, outputs)]

    return run


def _ordered(result: Any, outputs: Sequence[str]) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, Mapping):
        return [result[name] for name in outputs]
    return list(result)[: len(outputs)]


def parameters(module: torch.nn.Module) -> list[str]:
    """The names of forward's parameters, in order."""
    return list(inspect.signature(module.forward).parameters)


def export(
    module: torch.nn.Module, path: Path, example: Feeds, axes: Mapping[str, Axes], opset: int
) -> None:
    """Write `module` as ONNX, traced with `example`. `axes`: all inputs, then all outputs.

    By the TorchScript exporter: as exact as the newer one, at a lower opset and IR version, which
    every ONNX Runtime since 1.17 loads.
    """
    tensors = tuple(torch.from_numpy(v) for v in example.values())
    outputs = [name for name in axes if name not in example]
    names = {"input_names": list(example), "output_names": outputs, "dynamic_axes": axes}
    with prepare_errors(f"torch.onnx.export of {type(module).__name__}"):
        torch.onnx.export(module, tensors, str(path), opset_version=opset, dynamo=False, **names)


def threads() -> int:
    """How many share one operation."""
    return int(torch.get_num_threads())


def named_outputs(module: torch.nn.Module, feeds: Feeds) -> tuple[str, ...]:
    """The names of what `module` returns for `feeds`: its mapping's, else output, or output_0 and
    so on. Raises PrepareError when it returns no tensors."""
    tensors = {name: torch.from_numpy(value) for name, value in feeds.items()}
    kind = type(module).__name__
    shapes = ", ".join(f"{n} {list(t.shape)} {t.dtype}" for n, t in tensors.items())
    try:
        with torch.inference_mode():
            result = module(**tensors)
    except Exception as e:  # the user's own code
        raise PrepareError(f"{kind}.forward raised {type(e).__name__} for {shapes}: {e}") from e
    if isinstance(result, torch.Tensor):
        return ("output",)
    found = dict(result) if isinstance(result, Mapping) else {}
    if isinstance(result, tuple | list):
        found = {f"output_{i}": value for i, value in enumerate(result)}
    if not found or any(not isinstance(value, torch.Tensor) for value in found.values()):
        got = type(result).__name__
        raise PrepareError(f"{kind}.forward returned {got}; expected tensors, or a mapping of them")
    return tuple(found)


def fingerprint(module: torch.nn.Module) -> str:
    """sha256 over the names, dtypes, shapes and bytes of the state."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def is_module(value: object) -> bool:
    """Whether `value` is a torch.nn.Module."""
    return isinstance(value, torch.nn.Module)
