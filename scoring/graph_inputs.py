"""What each input of a graph for token ids is, and the sizes that the graph fixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnxferry.scoring.engine import Runner
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import Tensor

ALIASES: Mapping[str, tuple[str, ...]] = {  # names that exporters give each input
    "input_ids": ("input_ids", "input_word_ids", "input", "inputs", "ids", "tokens", "token_ids"),
    "attention_mask": ("attention_mask", "input_mask", "mask"),
    "token_type_ids": ("token_type_ids", "segment_ids", "input_type_ids", "type_ids"),
    "position_ids": ("position_ids", "positions"),
    "pooling_mask": ("pooling_mask",),  # of our own exports: the tokens that a pooling reads
}
_ROLES = {name: role for role, names in ALIASES.items() for name in names}
_DECORATION = re.compile(r"^serving_default_|[.:]\d+$")  # TensorFlow's and PyTorch's: input.1


@dataclass(frozen=True)
class TokenInputs:
    """`names`: the graph's input by what it is, a key of ALIASES. `rows` and `length`: of every run
    and of every sequence, where the graph fixes them; None: any."""

    names: Mapping[str, str]
    rows: int | None
    length: int | None

    @staticmethod
    def of(runner: Runner) -> TokenInputs:
        """Raises ModelError for an input that no tokenizer gives, or shapes that do not fit."""
        names = _names(runner.inputs)
        shapes = [tensor.shape for tensor in runner.inputs if tensor.shape]
        if [shape for shape in shapes if len(shape) != 2]:
            expected = "a graph for texts takes [batch, sequence] each"
            raise ModelError(f"model.onnx takes {listed(runner.inputs)}; {expected}")
        rows, length = (_fixed(sizes, runner.inputs) for sizes in _columns(shapes))
        return TokenInputs(names, rows, length)


def listed(tensors: Iterable[Tensor]) -> str:
    """Names and shapes, for messages."""
    return ", ".join(f"{t.name} [{', '.join(map(str, t.shape))}]" for t in tensors)


def _names(inputs: tuple[Tensor, ...]) -> dict[str, str]:
    if len(inputs) == 1:  # whatever its name is
        return {"input_ids": inputs[0].name}
    roles = {t.name: _ROLES.get(_DECORATION.sub("", t.name).lower()) for t in inputs}
    if unknown := [name for name, role in roles.items() if role is None]:
        made = f"which its task does not make (it makes {', '.join(ALIASES)})"
        hint = "is 'task' in model_spec.json right?"
        raise ModelError(f"model.onnx needs input(s) {', '.join(unknown)}, {made}; {hint}")
    found = {role: name for name, role in roles.items() if role}
    if len(found) < len(inputs) or "input_ids" not in found:
        told = ", ".join(f"{name} as {role}" for name, role in roles.items())
        advice = "name them input_ids, attention_mask and token_type_ids in the export"
        raise ModelError(f"model.onnx has inputs that cannot be told apart: {told}; {advice}")
    return found


def _columns(shapes: list[tuple[int | str, ...]]) -> list[set[int]]:
    """The fixed numbers of rows, and of tokens."""
    return [{n for shape in shapes if isinstance(n := shape[axis], int)} for axis in (0, 1)]


def _fixed(sizes: set[int], inputs: tuple[Tensor, ...]) -> int | None:
    if len(sizes) > 1:
        raise ModelError(f"model.onnx fixes different sizes for one: {listed(inputs)}")
    return next(iter(sizes), None)
