"""The engines that can take part: one file each, whose `load(folder, task, options)` gives an
`Answer`. A file imports only the standard library and its engine's library, since it may run in an
environment where there is nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = Callable[[list[Any]], list[Any]]
"""Items -> an answer to each, shaped as transformers' pipeline shapes them."""


@dataclass(frozen=True)
class EngineKind:
    """`folder`: what its folder holds. `packages`: those whose versions are told, its own first.
    `options`: what may be given for it besides environment variables."""

    folder: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()


_OPTIONS = ("batch_size", "threads", "file_name")
_EXPORT = "model.onnx, config.json, tokenizer.json"
_HUGGING_FACE = "a Hugging Face model folder"
_OPTIMUM = ("optimum-onnx", "optimum", "transformers", "onnxruntime")
_DEEPSPARSE = (*_OPTIONS, "sequence_length", "streams")

ENGINES = {
    "onnxferry": EngineKind("a model directory", ("onnxferry", "onnxruntime", "tokenizers")),
    "pipeline": EngineKind(_HUGGING_FACE, ("transformers", "torch"), _OPTIONS[:2]),
    "optimum": EngineKind("a Hugging Face folder with an ONNX file", _OPTIMUM, _OPTIONS),
    "torch": EngineKind(_HUGGING_FACE, ("torch", "transformers", "tokenizers"), _OPTIONS[:2]),
    "onnxruntime": EngineKind(_EXPORT, ("onnxruntime", "tokenizers"), _OPTIONS),
    "openvino": EngineKind(_EXPORT, ("openvino", "tokenizers"), _OPTIONS),
    "deepsparse": EngineKind(_EXPORT, ("deepsparse", "transformers"), _DEEPSPARSE),
}
