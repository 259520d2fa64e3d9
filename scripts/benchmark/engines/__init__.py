"""The engines that can take part: one file each, whose `load(folder, task, options)` gives an
`Answer`. It imports only the standard library and its engine's, where there may be nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Answer = Callable[[list[Any]], list[Any]]
"""Items -> an answer to each, shaped as transformers' pipeline shapes them."""


# how an architecture's name ends; AutoModel and ORTModel classes are named by the same
HEADS = {
    "question-answering": "ForQuestionAnswering",
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "fill-mask": "ForMaskedLM",
    "feature-extraction": "ForFeatureExtraction",
}


@dataclass(frozen=True)
class EngineKind:
    """`packages`: whose versions are told, its own first. `options`: what --engine may set."""

    packages: tuple[str, ...]
    options: tuple[str, ...] = ()


_OPTIONS = ("batch_size", "threads", "file_name")
_OPTIMUM = ("optimum-onnx", "optimum", "transformers", "onnxruntime")
_DEEPSPARSE = (*_OPTIONS, "sequence_length", "streams")
_MLFLOW = ("mlflow", "transformers", "torch", "onnxruntime")
_TABLE = ("workers", "copies")
_ROWS = ("onnxferry", "onnxruntime", "tokenizers", "pyarrow")

# an embeddings library runs the graph of one of these
_GRAPHS = ("onnxruntime", "openvino")
_EMBEDDINGS = "feature-extraction"

ENGINES = {
    "onnxferry": EngineKind(("onnxferry", "onnxruntime", "tokenizers")),
    "pipeline": EngineKind(("transformers", "torch"), _OPTIONS[:2]),
    "optimum": EngineKind(_OPTIMUM, _OPTIONS),
    "torch": EngineKind(("torch", "transformers", "tokenizers"), _OPTIONS[:2]),
    "onnxruntime": EngineKind(("onnxruntime", "tokenizers"), _OPTIONS),
    "openvino": EngineKind(("openvino", "tokenizers"), _OPTIONS),
    "deepsparse": EngineKind(("deepsparse", "transformers"), _DEEPSPARSE),
    "sentence_transformers": EngineKind(
        ("sentence-transformers", "transformers", "torch", *_GRAPHS), (*_OPTIONS, "backend")
    ),
    "fastembed": EngineKind(("fastembed", "onnxruntime", "tokenizers"), _OPTIONS),
    "infinity": EngineKind(
        ("infinity-emb", "optimum", "transformers", "onnxruntime"), _OPTIONS[:1]
    ),
    "rows": EngineKind(_ROWS, _TABLE),
    "pyfunc": EngineKind(_MLFLOW, _TABLE),
    "spark": EngineKind((*_ROWS, "pyspark"), _TABLE),
    "spark_udf": EngineKind((*_MLFLOW, "pyspark"), _TABLE),
}


def embeddings_only(task: str) -> None:
    """Raises ValueError for a task that is not an embeddings library's."""
    if task != _EMBEDDINGS:
        raise ValueError(f"a library of embeddings is asked for {_EMBEDDINGS} here, not for {task}")
