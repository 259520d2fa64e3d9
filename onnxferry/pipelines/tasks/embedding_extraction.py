"""DeepSparse's embedding extraction: {"inputs": text or [text, ...]} -> {"embeddings"}, a vector a
text, by `extraction_strategy`:

per_token (default)        the vectors of all tokens, one after the other, without those of padding
reduce_mean, reduce_max    over all tokens but [CLS], as there
cls_token                  the first token's
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.pipelines.arguments import TEXT, Values
from onnxferry.pipelines.errors import PipelineError
from onnxferry.pipelines.outputs import EmbeddingExtractionOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request, as_list, limited
from onnxferry.scoring import settings, validation
from onnxferry.scoring.manifest import TOKENIZER_FILE, ModelSpec
from onnxferry.scoring.validation import Parameter

POOLINGS = {  # DeepSparse's name -> ours, and whether [CLS] is left out
    "per_token": ("none", False),
    "reduce_mean": ("mean", True),
    "reduce_max": ("max", True),
    "cls_token": ("cls", False),
}


def _layer(value: object, where: str) -> int:
    if value != -1:
        last = "only -1, the last one, is taken"
        how = "export the layer that you want as the graph's output, last_hidden_state"
        raise PipelineError(f"'{where}' is {value!r}; {last}: a graph is not cut here. {how}")
    return -1


def _base_task(value: object, where: str) -> str:
    name = validation.string(value, where).replace("-", "_")
    if name.startswith(("image", "yolo")):
        what = "embeddings of pictures are the task image-feature-extraction of onnxferry.load"
        raise PipelineError(f"'{where}' is {name}: {what}")
    return name


ARGUMENTS = {
    **TEXT,
    "emb_extraction_layer": Parameter(_layer, -1),
    "extraction_strategy": Parameter(validation.one_of(*POOLINGS), "per_token"),
    "return_numpy": Parameter(validation.flag, False),
    "base_task": Parameter(_base_task),
    "flatten_outputs": Parameter(validation.flag, True),
}


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    pooling, without_first = POOLINGS[values["extraction_strategy"]]
    first = _leading_tokens(folder) if without_first else 0
    kept = {name: value for name, value in spec.settings.items() if name in settings.TEXT}
    own = {"pooling": pooling, "pooled_from": first}
    spec = replace(spec, task="feature-extraction", settings=kept)
    return limited(spec, values["sequence_length"], values["asked_length"], **own)


def _leading_tokens(folder: Path) -> int:
    """How many special tokens the tokenizer puts before a text: [CLS]."""
    from onnxferry.scoring.tokenization import Tokenizer  # a host of pictures has no tokenizers

    start, _ = Tokenizer(folder / TOKENIZER_FILE).encode(["a"])[0].ranges[0]
    return start


def _payload(request: Request, values: Values) -> Any:
    return {"inputs": as_list(validation.member(request, "inputs"))}


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    flat = [np.asarray(vectors, np.float32).reshape(-1) for vectors in answer]
    return {"embeddings": flat if values["return_numpy"] else [v.tolist() for v in flat]}


TASK = PipelineTask(
    name="transformers_embedding_extraction",
    aliases=("embedding_extraction",),
    ours="feature-extraction",
    inputs=("inputs",),
    arguments=ARGUMENTS,
    output=EmbeddingExtractionOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
)
