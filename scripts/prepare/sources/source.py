"""What every kind of source model gives to the later stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from onnxferry.scoring.engine import Array
from onnxferry.system.errors import PrepareError

Feeds: TypeAlias = Mapping[str, Array]  # by input name
RunModel: TypeAlias = Callable[[Feeds, Sequence[str]], list[Array]]
"""(feeds, names of the wanted outputs) -> the raw outputs in that order."""
AskPipeline: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]
"""(inputs, parameters) -> the answer of transformers' own pipeline over the source model."""


@dataclass(frozen=True)
class TextTokenizer:
    """A fast tokenizer: tokenizer.json (no padding, no truncation) and its configuration.
    `max_length` is in tokens; None: no limit."""

    json: str
    max_length: int | None
    pad_token_id: int | None
    pad_token_type_id: int
    padding_side: str
    mask_token: str | None = None
    clean_up_tokenization_spaces: bool = False
    inputs: tuple[str, ...] = ()  # the model's, by the tokenizer's configuration
    truncation_side: str = "right"
    split_special_tokens: bool = False


@dataclass(frozen=True)
class ModelSource:
    """A loaded source model.

    `export(path)` writes its ONNX file. `run` answers by its own runtime; None for an .onnx file,
    which is its own source. `record` goes into model_spec.json. `pipeline()` makes transformers'
    pipeline; None where there is none.
    """

    task: str
    export: Callable[[Path], None]
    run: RunModel | None
    settings: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    tokenizer: TextTokenizer | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Callable[[], AskPipeline] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def prepare_errors(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """An exception of `kinds`, or any without, becomes a PrepareError that says `what`."""
    try:
        yield
    except kinds or (Exception,) as e:  # noqa: B030, PLW0711 (a tuple either way)
        raised = "" if kinds else f" raised {type(e).__name__}"
        raise PrepareError(f"{what}{raised}: {e}") from e
