"""What a graph for texts can run, found by running it: how long a sequence may be, and whether it
knows every token of its tokenizer. A setting that nobody gave shrinks to what the graph takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring.batching import Padding, TokenBatcher
from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import InvalidValue, ScoringError
from onnxferry.scoring.graph_inputs import listed
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scoring.settings import MIN_LENGTH
from onnxferry.scoring.tokenization import Tokens
from onnxferry.scripts.prepare.sources.inspection import vocabulary
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import PrepareError, UsageError

MOST = 1024  # tokens that are tried: memory grows with the square


def fitted(
    spec: ModelSpec, folder: Path, tokenizer: TextTokenizer, given: Mapping[str, Any]
) -> ModelSpec:
    """`spec` with no more `max_length` than the graph in `folder` runs. Raises UsageError where the
    user's settings, `given`, ask for more, PrepareError for a token that the graph does not know,
    or inputs that no text gives."""
    session = Session(folder / MODEL_FILE, EngineOptions(prepack=False))
    asked = int(spec.settings["max_length"])
    try:
        length = _batcher(session, spec, asked).max_length or asked
    except ScoringError as e:
        raise PrepareError(str(e)) from e
    if length <= MOST:
        length = _longest(lambda tokens: _runs(session, spec, tokens), length)
    if length < asked and "max_length" in given:
        takes = f"the graph, which takes {listed(session.inputs)}, runs at most {length} tokens"
        raise UsageError(f"--settings: max_length is {asked}, but {takes}")
    _check_tokens(_batcher(session, spec, length), tokenizer)
    return replace(spec, settings={**spec.settings, "max_length": length})


def _batcher(session: Session, spec: ModelSpec, length: int) -> TokenBatcher:
    names = {"pad_token_id": 0, "pad_token_type_id": 0, "padding_side": "right"}
    padding = Padding(*(spec.settings.get(name, usual) for name, usual in names.items()))
    return TokenBatcher(session, padding, length)


def _run(batcher: TokenBatcher, ids: Any) -> None:
    tokens = Tokens(np.array(ids, np.int64), np.zeros(len(ids), np.int64))
    batcher.run([tokens], lambda row, _: None)


def _runs(session: Session, spec: ModelSpec, length: int) -> bool:
    """Whether the graph runs so many tokens, none of which it takes for padding."""
    token = 0 if spec.settings.get("pad_token_id") else 1
    try:
        _run(_batcher(session, spec, length), [token] * length)
    except Exception:  # onnxruntime's errors have no common base class
        return False
    return True


def _longest(runs: Callable[[int], bool], most: int) -> int:
    """The largest length up to `most` that runs; `most` too where even the least does not, of which
    the golden request tells."""
    if runs(most) or not runs(MIN_LENGTH):
        return most
    low, high = MIN_LENGTH, most  # runs, does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if runs(middle) else (low, middle)
    return low


def _check_tokens(batcher: TokenBatcher, tokenizer: TextTokenizer) -> None:
    token, last = vocabulary.highest(tokenizer.json)
    try:
        _run(batcher, [last])
    except InvalidValue as e:
        raise PrepareError(vocabulary.message(token, last, str(e))) from e
    except Exception:  # noqa: S110 (the golden request tells of a graph that does not run at all)
        pass
