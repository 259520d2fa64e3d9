"""Prompts: the instruction that is put before a text, by its name or as it is, as
sentence-transformers and text-embeddings-inference take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring import validation
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.validation import Parameter


def _named(value: object, where: str) -> dict[str, str]:
    sent = validation.mapping(value, f"'{where}'")
    return {name: validation.string(text, f"{where}.{name}") for name, text in sent.items()}


SETTINGS: Mapping[str, Parameter] = {
    "prompts": Parameter(_named, {}),
    "default_prompt_name": Parameter(validation.string),
    "include_prompt": Parameter(validation.flag, True),
    "strip": Parameter(validation.flag, False),
}
"""`include_prompt`: whether a prompt's tokens are pooled. `strip`: whether white space around a
text, with its prompt, is left out."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a model, by name."""

    texts: Mapping[str, str]
    default: str | None
    include: bool
    strip: bool

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Prompts:
        """`settings` hold SETTINGS. Raises ValueError for a default that is no prompt's name."""
        texts, default = settings["prompts"], settings["default_prompt_name"]
        if default is not None and default not in texts:
            known = ", ".join(texts) or "none"
            raise ValueError(f"'default_prompt_name' is {default!r}; the prompts are {known}")
        return Prompts(texts, default, settings["include_prompt"], settings["strip"])

    @property
    def parameters(self) -> dict[str, Parameter]:
        """A request's: `prompt` goes before `prompt_name`."""
        return {
            "prompt_name": Parameter(self._name, self.default),
            "prompt": Parameter(validation.string),
        }

    def _name(self, value: object, where: str) -> str:
        name = validation.string(value, where)
        if name not in self.texts:
            known = ", ".join(self.texts) or "none; this model has no prompts"
            raise InvalidValue(f"'{where}' is {name[:40]!r}; known: {known}")
        return name

    def chosen(self, options: Mapping[str, Any]) -> str:
        """The text of the prompt, "" for none."""
        if options["prompt"] is not None:
            return str(options["prompt"])
        return self.texts.get(options["prompt_name"] or "", "")

    def before(self, prompt: str, text: str) -> str:
        """`text` as it is tokenized."""
        return (prompt + text).strip() if self.strip else prompt + text
