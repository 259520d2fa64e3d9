"""What answers to questions are compared with: the likeliest span by the source model itself behind
transformers' tokenizer, since transformers 5 has no pipeline for them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class SpanRecipe:
    """The source model, its tokenizer, and the tokens that it reads at once."""

    model: Any
    tokenizer: Any
    length: int

    def __call__(self, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
        """{"score", "start", "end"}: the sum of both logits and the context's characters; None
        where the texts take more than one window."""
        fed = self.tokenizer(
            inputs["question"], inputs["context"], return_tensors="pt", return_offsets_mapping=True
        )
        places, sides = fed.pop("offset_mapping")[0].tolist(), fed.sequence_ids(0)
        if len(places) > min(self.length, parameters.get("max_seq_len") or 384):
            return None
        inside = [i for i, side in enumerate(sides) if side == 1]
        start, end = self._logits(fed)
        spans = [
            (i, j) for i in inside for j in inside if 0 <= j - i < parameters["max_answer_len"]
        ]
        i, j = max(spans, key=lambda span: start[span[0]] + end[span[1]])
        return {"score": float(start[i] + end[j]), "start": places[i][0], "end": places[j][1]}

    def _logits(self, fed: Mapping[str, Any]) -> Any:
        """Those of start and end, float32 [tokens] each."""
        taken = inspect.signature(self.model.forward).parameters
        known = {name: value for name, value in fed.items() if name in taken}
        with torch.inference_mode():
            found = self.model(**known, return_dict=True)
        return found["start_logits"][0].numpy(), found["end_logits"][0].numpy()
