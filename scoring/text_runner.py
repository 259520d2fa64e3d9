"""What the text tasks share: reading, encoding and running the texts of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from onnxferry.scoring import limits, validation
from onnxferry.scoring.batching import Padding, TokenBatcher
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidType, InvalidValue
from onnxferry.scoring.manifest import TOKENIZER_FILE, ModelSpec
from onnxferry.scoring.settings import SIDE
from onnxferry.scoring.tokenization import Encoded, Reading, Text, Tokenizer, Tokens
from onnxferry.scoring.validation import Parameter

T = TypeVar("T")
UNKNOWN = "'{}' holds no character that the model's tokenizer knows"


def _truncation(value: object, where: str) -> bool:
    if isinstance(value, str):
        strategy = validation.one_of("longest_first", "do_not_truncate")(value, where)
        return strategy == "longest_first"
    return validation.flag(value, where)


def _padding(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    return validation.one_of("longest", "max_length", "do_not_pad")(value, where)


TRUNCATION: Mapping[str, Parameter] = {
    "truncation": Parameter(_truncation, True),
    "truncation_direction": Parameter(SIDE),
    "max_length": Parameter(validation.positive),
    "padding": Parameter(_padding),
}
"""The tokenizer's parameters, as clients of the pipelines and of text-embeddings-inference send
them. `padding` changes no answer."""


def read_truncation(value: object, where: str) -> Mapping[str, Any]:
    """Those of TRUNCATION in an object of their own."""
    sent = validation.mapping(value, f"'{where}'")
    values = validation.parameters({"parameters": sent}, TRUNCATION)
    return {name: values[name] for name in sent}


@dataclass(frozen=True)
class Texts:
    """The texts of one request's body, whether a list came, and in which field."""

    items: Sequence[Text]
    many: bool
    key: str = "inputs"
    body: Mapping[str, Any] = field(default_factory=dict)

    def where(self, index: int) -> str:
        """The field of a text."""
        return f"{self.key}[{index}]" if self.many else self.key

    def shape(self, answers: Sequence[Any]) -> Any:
        """A list for a list, the one answer for one text."""
        return list(answers) if self.many else answers[0]


def read_text_or_pair(value: object, where: str) -> Text:
    """A text, or two: {"text", "text_pair"}, [text, pair] or, the older form, [[text, pair]]."""
    if isinstance(value, dict):
        if unknown := ", ".join(sorted(set(value) - {"text", "text_pair"})):
            came = f"'{where}' has field(s) {unknown[:80]}"
            raise InvalidValue(f"{came}; expected text and text_pair")
        text = validation.text(validation.member(value, "text", f"{where}."), f"{where}.text")
        pair = value.get("text_pair")
        return text if pair is None else (text, validation.text(pair, f"{where}.text_pair"))
    if isinstance(value, list):
        inner = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        if (count := len(inner)) != 2:
            raise InvalidType(f"'{where}' must be a text or a pair of texts, got a list of {count}")
        return validation.text(inner[0], f"{where}[0]"), validation.text(inner[1], f"{where}[1]")
    return validation.text(value, where)


@dataclass(frozen=True)
class TextRunner:
    """The tokenizer and the graph of a text task. `max_length` counts special tokens too."""

    tokenizer: Tokenizer
    batcher: TokenBatcher
    max_length: int
    limits: limits.Limits

    @staticmethod
    def load(
        spec: ModelSpec, runner: Runner, folder: Path, settings: Mapping[str, Any]
    ) -> TextRunner:
        """`settings` hold those of settings.TEXT. Raises ModelError for a graph or tokenizer that
        does not fit."""
        length = settings["max_length"]
        reading = Reading(**{field.name: settings[field.name] for field in fields(Reading)})
        type_id = reading.token_type_ids and settings["pad_token_type_id"]
        padding = Padding(settings["pad_token_id"], type_id, settings["padding_side"])
        batcher = TokenBatcher(runner, padding, length)
        tokenizer = Tokenizer(folder / TOKENIZER_FILE, reading)
        return TextRunner(tokenizer, batcher, batcher.max_length or length, spec.limits)

    def read_texts(self, payload: Any, read: Callable[[Any, str], Any] = validation.text) -> Texts:
        """The texts in `inputs` or, as DeepSparse has it, `sequences`. Raises TooLarge."""
        body = validation.mapping(payload, "the body")
        key = "sequences" if "sequences" in body and "inputs" not in body else "inputs"
        value = validation.member(body, key)
        return Texts(*validation.one_or_list(value, read, self.limits.items, key), key, body)

    def run(
        self, texts: Texts, options: Mapping[str, Any], read: Callable[[list[Array], Tokens], T]
    ) -> list[T]:
        """What `read` makes of each text's row of every output, in order. Raises as `encode`."""
        return self.batcher.run(self.encode(texts, options), read)

    def encode(self, texts: Texts, options: Mapping[str, Any]) -> list[Tokens]:
        """Each text as a sequence; `options` may hold TRUNCATION. Raises InvalidValue for one of no
        token, or of too many when it must not be truncated."""
        length = self.length(options.get("max_length"), "max_length")
        encoded = self.tokenizer.encode(texts.items)
        for i, text in enumerate(encoded):
            self.check(text, texts.where(i))
            if len(text) > length and not options.get("truncation", True):
                what = f"'{texts.where(i)}' has {len(text)} tokens"
                raise InvalidValue(f"{what}; without truncation at most {length} fit")
        side = options.get("truncation_direction") or self.tokenizer.reading.truncation_side
        return [text.truncated(length, side) for text in encoded]

    def prompt_length(self, prompt: str) -> int:
        """How many of a sequence's first tokens are those of `prompt`, counted as by
        sentence-transformers: without the special token at its end."""
        encoded = self.tokenizer.encode([prompt])[0]
        return len(encoded) - int(encoded.ranges[0][1] < len(encoded))

    def check(self, text: Encoded, where: str, side: int | None = None) -> None:
        """Raise TooLarge for an item of too many tokens, InvalidValue for one, or a text `side` of
        a pair, without any."""
        if len(text) > self.limits.tokens:
            raise limits.exceeded(f"'{where}' has {len(text)} tokens", self.limits.tokens, "tokens")
        if not (len(text) if side is None else text.size(side)):
            raise InvalidValue(UNKNOWN.format(where))

    def length(self, requested: int | None, name: str) -> int:
        """The most tokens of a sequence: what the parameter `name` requests, or what the model
        takes. Raises InvalidValue for more than that."""
        if requested is not None and requested > self.max_length:
            most = f"this model takes at most {self.max_length}"
            raise InvalidValue(f"'parameters.{name}' is {requested} tokens; {most}")
        return requested or self.max_length
