"""What every kind of source model gives to the stages after loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoring.engine import Array

Run = Callable[[Mapping[str, Array], Sequence[str]], list[Array]]
"""(feeds by input name, names of the wanted outputs) -> the source model's raw outputs in that order."""


@dataclass(frozen=True)
class TextTokenizer:
    """A fast tokenizer: the text of tokenizer.json (no padding, no truncation inside) and what its configuration says.

    `max_length` is in tokens, None where the tokenizer sets no limit.
    """

    json: str
    max_length: int | None
    pad_token_id: int | None
    pad_token_type_id: int
    padding_side: str


@dataclass(frozen=True)
class Source:
    """A loaded source model.

    `export(path)` writes its ONNX file; `run` answers with its own runtime and is None for an .onnx file, which is its
    own source. `settings` and `labels` are complete for `task`. `record` goes into model_spec.json as it is.
    """

    task: str
    export: Callable[[Path], None]
    run: Run | None
    settings: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    tokenizer: TextTokenizer | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
