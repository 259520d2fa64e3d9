"""What every kind of source model gives to the stages after loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring.engine import Array

TEXTLESS = ("image-classification", "tensors")  # tasks without a tokenizer
Run = Callable[[Mapping[str, Array], Sequence[str]], list[Array]]
"""(feeds by input name, names of the wanted outputs) -> the source model's raw outputs in that
order."""
Ask = Callable[[Any, Mapping[str, Any]], Any]
"""(inputs, parameters) -> the answer of transformers' own pipeline over the source model."""


@dataclass(frozen=True)
class TextTokenizer:
    """A fast tokenizer: the text of tokenizer.json (no padding, no truncation inside) and what its
    configuration says.

    `max_length` is in tokens, None where the tokenizer sets no limit; `cleans_up` is its
    clean_up_tokenization_spaces.
    """

    json: str
    max_length: int | None
    pad_token_id: int | None
    pad_token_type_id: int
    padding_side: str
    mask_token: str | None = None
    cleans_up: bool = False


@dataclass(frozen=True)
class Source:
    """A loaded source model.

    `export(path)` writes its ONNX file; `run` answers with its own runtime and is None for an .onnx
    file, which is its own source. `settings` and `labels` are complete for `task`. `record` goes
    into model_spec.json as it is. `ask` is None where transformers has no pipeline of the source,
    or it is not compared. `config` is what the model's own configuration says of its architecture;
    empty where there is none.
    """

    task: str
    export: Callable[[Path], None]
    run: Run | None
    settings: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    tokenizer: TextTokenizer | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    ask: Ask | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
