"""What answers to questions are compared with: the likeliest span by the source model itself behind
transformers' tokenizer, since transformers 5 has no pipeline for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.scripts.prepare.sources.source import RunModel

_LOGITS = ("start_logits", "end_logits")


@dataclass(frozen=True)
class SpanRecipe:
    """The source model, the names of what it takes, its tokenizer, and the tokens that it reads at
    once."""

    run: RunModel
    inputs: Collection[str]
    tokenizer: Any
    length: int

    def __call__(self, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
        """{"score", "start", "end"}: the sum of both logits and the context's characters; None
        where the texts take more than one window."""
        fed = self.tokenizer(
            inputs["question"], inputs["context"], return_tensors="np", return_offsets_mapping=True
        )
        places, sides = fed.pop("offset_mapping")[0].tolist(), fed.sequence_ids(0)
        if len(places) > min(self.length, parameters.get("max_seq_len") or 384):
            return None
        inside = [i for i, side in enumerate(sides) if side == 1]
        known = {name: value for name, value in fed.items() if name in self.inputs}
        start, end = (logits[0] for logits in self.run(known, _LOGITS))
        spans = [
            (i, j) for i in inside for j in inside if 0 <= j - i < parameters["max_answer_len"]
        ]
        i, j = max(spans, key=lambda span: start[span[0]] + end[span[1]])
        return {"score": float(start[i] + end[j]), "start": places[i][0], "end": places[j][1]}
