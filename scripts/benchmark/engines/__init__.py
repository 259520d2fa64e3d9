"""The engines that can take part: one file each, with `load(folder, task, options)` that gives a
function from a list of items to a list of answers, shaped as transformers' pipeline shapes them.

A file imports the standard library, its engine's library, and no more, since it may run in an
environment where there is nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`folder`: what its folder holds. `packages`: those whose versions are told, the engine's own
    first. `options`: what may be given for it besides environment variables."""

    folder: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()


_BARE = ("batch_size", "threads", "file_name")

ENGINES = {
    "onnxferry": Kind(
        "a model directory of scripts.prepare", ("onnxferry", "onnxruntime", "tokenizers")
    ),
    "pipeline": Kind(
        "a Hugging Face model folder", ("transformers", "torch"), ("batch_size", "threads")
    ),
    "optimum": Kind(
        "a Hugging Face folder with an ONNX file",
        ("optimum-onnx", "optimum", "transformers", "onnxruntime"),
        _BARE,
    ),
    "torch": Kind(
        "a Hugging Face model folder",
        ("torch", "transformers", "tokenizers"),
        ("batch_size", "threads"),
    ),
    "onnxruntime": Kind(
        "model.onnx, config.json, tokenizer.json", ("onnxruntime", "tokenizers"), _BARE
    ),
    "openvino": Kind("model.onnx, config.json, tokenizer.json", ("openvino", "tokenizers"), _BARE),
    "deepsparse": Kind(
        "model.onnx, config.json, tokenizer.json",
        ("deepsparse", "transformers"),
        (*_BARE, "sequence_length", "streams"),
    ),
}
