"""What the text tasks share: reading the texts of a request, and cutting, encoding and running
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from onnxferry.scoring import validation
from onnxferry.scoring.batching import TextModel
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidType, InvalidValue, TooLarge
from onnxferry.scoring.manifest import TOKENIZER_FILE, Limits, ModelSpec
from onnxferry.scoring.tokenization import Encoded, Text, Tokenizer, Tokens
from onnxferry.scoring.validation import Parameter

T = TypeVar("T")
# that one request may make of its texts (windows, hypotheses): its memory and time
SEQUENCES = 8192


def _truncation(value: object, where: str) -> bool:
    if isinstance(value, str):
        return (
            validation.one_of("longest_first", "do_not_truncate")(value, where) == "longest_first"
        )
    return validation.flag(value, where)


def _padding(value: object, where: str) -> object:
    return (
        validation.one_of("longest", "max_length", "do_not_pad")(value, where)
        if isinstance(value, str)
        else value
    )


CUTTING: Mapping[str, Parameter] = {
    "truncation": Parameter(_truncation, True),
    "max_length": Parameter(validation.positive),
    "padding": Parameter(_padding),
}
"""The tokenizer's own parameters, as clients of the pipelines pass them on: `truncation` (default
true; false refuses a text that is longer than the model), `max_length` in tokens, and `padding`,
which changes no answer."""


def read_cutting(value: object, where: str) -> Mapping[str, Any]:
    """The parameters of CUTTING that stand in an object of their own, as some pipelines take
    them."""
    given = validation.mapping(value, f"'{where}'")
    read = validation.parameters({"parameters": given}, CUTTING)
    return {name: read[name] for name in given}


@dataclass(frozen=True)
class Texts:
    """The texts of one request, whether they came as a list, and the field that they came in."""

    items: Sequence[Text]
    many: bool
    key: str = "inputs"

    def where(self, index: int) -> str:
        """The field of a text, for messages."""
        return f"{self.key}[{index}]" if self.many else self.key

    def shape(self, answers: Sequence[Any]) -> Any:
        """A list for a list; the one answer for one text."""
        return list(answers) if self.many else answers[0]


def read_texts(
    data: Mapping[str, Any], limit: int, read: Callable[[Any, str], Any] = validation.text
) -> Texts:
    """The texts of a request's body, in the field `inputs` or, as DeepSparse has it,
    `sequences`."""
    key = "sequences" if "sequences" in data and "inputs" not in data else "inputs"
    return Texts(*validation.one_or_list(validation.member(data, key), read, limit, key), key)


def read_text_or_pair(value: object, where: str) -> Text:
    """A text, or two: {"text", "text_pair"}, or [text, pair] (also [[text, pair]], the pipelines'
    older form)."""
    if isinstance(value, dict):
        if unknown := sorted(set(value) - {"text", "text_pair"}):
            raise InvalidValue(
                f"'{where}' has field(s) {', '.join(unknown)[:80]}; expected text and text_pair"
            )
        text = validation.text(validation.member(value, "text", f"{where}."), f"{where}.text")
        pair = value.get("text_pair")
        return text if pair is None else (text, validation.text(pair, f"{where}.text_pair"))
    if isinstance(value, list):
        inner = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        if len(inner) != 2:
            raise InvalidType(
                f"'{where}' must be a text or a pair of texts, got a list of {len(inner)}"
            )
        return validation.text(inner[0], f"{where}[0]"), validation.text(inner[1], f"{where}[1]")
    return validation.text(value, where)


@dataclass(frozen=True)
class Encoder:
    """The tokenizer and the graph of a text task. `max_length`: the most tokens of a sequence,
    special ones included; `limits`: the model's, of one request."""

    tokenizer: Tokenizer
    model: TextModel
    max_length: int
    limits: Limits

    @staticmethod
    def load(spec: ModelSpec, runner: Runner, folder: Path, own: Mapping[str, Any]) -> Encoder:
        """From a model directory and its settings, read, among which are those of settings.TEXT."""
        model = TextModel(runner, own["pad_token_id"], own["pad_token_type_id"], own["max_length"])
        return Encoder(Tokenizer(folder / TOKENIZER_FILE), model, own["max_length"], spec.limits)

    def run(
        self, texts: Texts, options: Mapping[str, Any], read: Callable[[list[Array], Tokens], T]
    ) -> list[T]:
        """What `read` makes of each text's row of every output, in order; `options` may hold
        CUTTING's."""
        return self.model.run(self.encode(texts, options), read)

    def encode(self, texts: Texts, options: Mapping[str, Any]) -> list[Tokens]:
        """Each text as a sequence of the length that `options` allow. Raises InvalidValue for a
        text that is too long when it must not be cut, or that has no token at all."""
        most = self.length(options.get("max_length"), "max_length")
        encoded = self.tokenizer.encode(texts.items)
        for i, text in enumerate(encoded):
            self.check(text, texts.where(i))
            if len(text) > most and not options.get("truncation", True):
                raise InvalidValue(
                    f"'{texts.where(i)}' has {len(text)} tokens; without truncation at most"
                    f" {most} fit"
                )
        return [text.cut(most) for text in encoded]

    def check(self, text: Encoded, where: str, side: int | None = None) -> None:
        """Raise TooLarge for an item of more tokens than the limit, InvalidValue for one without
        any; of a pair whose text `side` may not be empty, too."""
        if len(text) > self.limits.tokens:
            raise TooLarge.over(f"'{where}' has {len(text)} tokens", self.limits.tokens, "tokens")
        if not (len(text) if side is None else text.size(side)):
            raise InvalidValue(f"'{where}' holds no character that the model's tokenizer knows")

    def length(self, wanted: int | None, name: str) -> int:
        """The most tokens of a sequence, as the parameter `name` asks for it; None: what the model
        takes."""
        if wanted is not None and wanted > self.max_length:
            raise InvalidValue(
                f"'parameters.{name}' is {wanted} tokens; this model takes at most"
                f" {self.max_length}"
            )
        return wanted or self.max_length


def expect_sequences(count: int, what: str, advice: str) -> None:
    """Raise TooLarge when a request makes more sequences for the model than one may."""
    if count > SEQUENCES:
        raise TooLarge(f"{what}, and one request gets at most {SEQUENCES}; {advice}")
