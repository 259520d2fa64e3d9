"""A classifier's graph in ONNX Runtime and its tokenizer, as one writes them by hand: what the
LitServe and BentoML servers beside it serve. FOLDER is a model directory: the same graph and labels
that onnxferry serves. It needs onnxruntime, tokenizers and numpy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Graph:
    """Texts -> for each its labels with their scores, the best first, as the transformers pipeline
    gives them."""

    def __init__(self, folder: str) -> None:
        """THREADS of the environment: of one run; by default one a core."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "0"))
        path = Path(folder, "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._names = [node.name for node in self._session.get_inputs()]
        self._labels = json.loads(Path(folder, "model_spec.json").read_text())["labels"]
        self._tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        self._tokenizer.enable_padding()  # to the longest of a batch
        self._tokenizer.enable_truncation(512)

    def __call__(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """Score them in one run."""
        read = self._tokenizer.encode_batch(texts)
        feeds = {
            "input_ids": np.array([e.ids for e in read]),
            "attention_mask": np.array([e.attention_mask for e in read]),
            "token_type_ids": np.array([e.type_ids for e in read]),
        }
        (logits,) = self._session.run(None, {name: feeds[name] for name in self._names})
        return [self._described(row) for row in 1 / (1 + np.exp(-logits))]

    def _described(self, scores: Any) -> list[dict[str, Any]]:
        order = np.argsort(-scores).tolist()
        return [{"label": self._labels[i], "score": float(scores[i])} for i in order]
