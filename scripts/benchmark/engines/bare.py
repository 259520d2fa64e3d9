"""An engine's library and tokenizers, as one would join them by hand: texts are tokenised at once,
sorted by length, and run in batches padded to their longest."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from onnxferry.scripts.benchmark.engines import Answer

LONGEST, STRIDE, ANSWER = 384, 128, 15  # tokens: of a window, shared by two windows, of an answer
# arrays [batch, sequence] of int64 by name -> the graph's outputs
Run = Callable[[dict[str, Any]], Sequence[Any]]
# encodings -> for each its row of each output
Ask = Callable[[Sequence[Encoding]], list[list[Any]]]


def over(folder: str, task: str, run: Run, names: Container[str], batch_size: int = 32) -> Answer:
    """Items asked of `run`, whose inputs are among `names`. Raises ValueError for another task."""
    if task not in TASKS:
        raise ValueError(f"this engine is asked for {', '.join(TASKS)} here, not for {task}")
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    pad = config.get("pad_token_id") or 0

    def ask(encodings: Sequence[Encoding]) -> list[list[Any]]:
        order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
        found: list[list[Any]] = [[] for _ in encodings]
        for begin in range(0, len(order), batch_size):
            chosen = order[begin : begin + batch_size]
            feeds = _feeds([encodings[i] for i in chosen], pad)
            outputs = run({name: feeds[name] for name in feeds if name in names})
            for row, i in enumerate(chosen):
                found[i] = [output[row] for output in outputs]
        return found

    return TASKS[task](config, tokenizer, ask)


def _feeds(encodings: Sequence[Encoding], pad: int) -> dict[str, Any]:
    shape = (len(encodings), max(len(e.ids) for e in encodings))
    feeds = {"input_ids": np.full(shape, pad), "attention_mask": np.zeros(shape, np.int64)}
    feeds["token_type_ids"] = np.zeros(shape, np.int64)
    for row, e in enumerate(encodings):
        columns = slice(0, len(e.ids))
        feeds["input_ids"][row, columns] = e.ids
        feeds["attention_mask"][row, columns] = 1
        feeds["token_type_ids"][row, columns] = e.type_ids
    return feeds


def _classify(config: dict[str, Any], tokenizer: Tokenizer, ask: Ask) -> Answer:
    names = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    several = config.get("problem_type") == "multi_label_classification" or len(names) == 1
    tokenizer.enable_truncation(config.get("max_position_embeddings", 512))

    def answer(items: list[Any]) -> list[Any]:
        rows = [_scores(logits, several) for (logits,) in ask(tokenizer.encode_batch(items))]
        return [[{"label": names[i], "score": float(r[i])} for i in np.argsort(-r)] for r in rows]

    return answer


def _scores(logits: Any, several: bool) -> Any:
    if several:
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _question(config: dict[str, Any], tokenizer: Tokenizer, ask: Ask) -> Answer:
    longest = min(LONGEST, config.get("max_position_embeddings", 512))
    tokenizer.enable_truncation(longest, stride=min(STRIDE, longest // 3), strategy="only_second")

    def answer(items: list[Any]) -> list[Any]:
        first = tokenizer.encode_batch([(item["question"], item["context"]) for item in items])
        windows = [(i, w) for i, e in enumerate(first) for w in (e, *e.overflowing)]
        best: dict[int, tuple[float, int, int]] = {}
        logits = ask([window for _, window in windows])
        for (i, window), (start, end) in zip(windows, logits, strict=True):
            best[i] = max(best.get(i, (-1.0, 0, 0)), _span(window, start, end))
        return [_described(*best[i], item["context"]) for i, item in enumerate(items)]

    return answer


def _described(score: float, start: int, end: int, context: str) -> dict[str, Any]:
    return {"score": score, "start": start, "end": end, "answer": context[start:end]}


def _span(window: Encoding, start: Any, end: Any) -> tuple[float, int, int]:
    """(probability, begin, end) of the likeliest span of at most ANSWER tokens in the context."""
    context = np.array([i for i, part in enumerate(window.sequence_ids) if part == 1])
    if not len(context):
        return 0.0, 0, 0
    pairs = np.triu(np.outer(_scores(start[context], False), _scores(end[context], False)))
    first, last = np.unravel_index(np.argmax(np.tril(pairs, ANSWER - 1)), pairs.shape)
    begin, end = window.offsets[context[first]][0], window.offsets[context[last]][1]
    return float(pairs[first, last]), begin, end


def _embed(config: dict[str, Any], tokenizer: Tokenizer, ask: Ask) -> Answer:
    tokenizer.enable_truncation(config.get("max_position_embeddings", 512))

    def answer(items: list[Any]) -> list[Any]:
        encodings = tokenizer.encode_batch(items)
        rows = [out[0][: len(e.ids)] for e, out in zip(encodings, ask(encodings), strict=True)]
        means = [tokens.mean(axis=0) for tokens in rows]
        return [(vector / np.linalg.norm(vector)).tolist() for vector in means]

    return answer


TASKS = {
    "text-classification": _classify,
    "question-answering": _question,
    "feature-extraction": _embed,
}
