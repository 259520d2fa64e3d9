"""Zero-shot classification: an entailment (NLI) model judges for each label whether the text
entails "This is LABEL".

Request: {"inputs": text | [text, ...], "parameters": {"candidate_labels": [label, ...] or "label,
label", "hypothesis_template", "multi_label"}}; `multi_class` is the older name of multi_label.
DeepSparse's form is read too: {"sequences": ..., "labels": [...]}, with the parameters beside them.

Answer, as transformers' pipeline gives it: {"sequence", "labels", "scores"}, best first; a list for
a list. Scores are a softmax of the labels' entailment logits; with multi_label, or one label, each
is a softmax of entailment against contradiction (Yin et al., arXiv:1909.00161).

A text is truncated, a hypothesis never. Entailment is the first of the spec's `labels` that begins
with "entail"; contradiction is the first label, or else the last, unless the setting
`contradiction_index` says otherwise. SETTINGS besides those of every text task are defaults of
parameters.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import codecs, settings, validation
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, MissingField
from onnxferry.scoring.labels import Labels, softmax
from onnxferry.scoring.limits import check_sequences
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import TextRunner, Texts
from onnxferry.scoring.tokenization import Encoded, Tokens
from onnxferry.scoring.validation import Parameter

MAX_TEMPLATE = 1000  # characters: each label is written into a copy
PLACEHOLDER = 200  # characters of the text that another will replace
TEXT, HYPOTHESIS = 0, 1  # sides of a sequence


def read_labels(value: object, where: str) -> list[str]:
    """A list of labels, or one string with commas between them."""
    if isinstance(value, str):
        labels = [part.strip() for part in value.split(",") if part.strip()]
    else:
        labels = validation.strings(value, where)
    if not labels:
        raise InvalidValue(f"'{where}' holds no label")
    return [validation.text(label, f"{where}[{i}]") for i, label in enumerate(labels)]


def read_template(value: object, where: str) -> tuple[str, str]:
    """What is before and after the label, for which a template has one {}."""
    text = validation.text(value, where)
    if (count := len(text)) > MAX_TEMPLATE:
        raise InvalidValue(f"'{where}' has {count} characters; at most {MAX_TEMPLATE} are taken")
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as e:
        hint = "write {{ and }} for braces"
        raise InvalidValue(f"'{where}' has a brace without its pair; {hint}") from e
    places = [i for i, (_, name, _, _) in enumerate(parts) if name is not None]
    if len(places) != 1 or parts[places[0]][1:] not in (("", "", None), ("0", "", None)):
        raise InvalidValue(f"'{where}' must hold {{}} once, where the label goes")
    literals, after = [part[0] for part in parts], places[0] + 1
    return "".join(literals[:after]), "".join(literals[after:])


SETTINGS = {
    **settings.TEXT,
    "candidate_labels": Parameter(read_labels),
    "hypothesis_template": Parameter(read_template, ("This example is ", ".")),
    "multi_label": Parameter(validation.flag, False),
    "contradiction_index": Parameter(validation.natural),
}


def _entailment(names: Sequence[str]) -> int:
    found = [i for i, name in enumerate(names) if name.lower().startswith("entail")]
    if not found:
        raise ValueError("none of 'labels' begins with 'entail'; list them in the output's order")
    return found[0]


class ZeroShotClassification:
    """A Task; see the module."""

    accepts = (codecs.JSON, codecs.TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._labels = Labels(spec.labels, runner)
        self._entailment = _entailment(spec.labels)
        told, last = values["contradiction_index"], len(spec.labels) - 1
        if told is not None and (told > last or told == self._entailment):
            raise ValueError(f"'settings.contradiction_index' is {told}; that is no other label")
        self._contradiction = told if told is not None else last * (self._entailment == 0)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._parameters = {
            "candidate_labels": Parameter(read_labels, values["candidate_labels"]),
            "hypothesis_template": Parameter(read_template, values["hypothesis_template"]),
            "multi_label": Parameter(validation.flag),
            "multi_class": Parameter(validation.flag, values["multi_label"]),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload)
        options = validation.parameters(self._all_parameters(texts.body), self._parameters)
        if (labels := options["candidate_labels"]) is None:
            what = "'parameters.candidate_labels' is missing"
            raise MissingField(f"{what}; give the labels to choose from")
        multi_label = options["multi_label"]
        if multi_label is None:
            multi_label = options["multi_class"]
        pairs = self._pairs(texts, labels, options["hypothesis_template"])
        rows = self._text.batcher.run(pairs, lambda row, _: self._labels.logits(row))
        logits = np.stack(rows).reshape(len(texts.items), len(labels), -1)
        scores = self._scores(logits, multi_label)
        ranked = zip(texts.items, scores, strict=True)
        return texts.shape([_ranked(text, labels, row) for text, row in ranked])

    def _all_parameters(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body's `parameters`, with those that stand beside its texts."""
        beside = {name: data[name] for name in self._parameters if name in data}
        if "labels" in data:
            beside["candidate_labels"] = data["labels"]
        sent = data.get("parameters")
        if sent is None or isinstance(sent, dict):
            sent = {**beside, **(sent or {})}
        return {"parameters": sent}

    def _pairs(
        self, texts: Texts, labels: Sequence[str], template: tuple[str, str]
    ) -> list[Tokens]:
        """Text and hypothesis as one sequence, for each label of each text. Each is encoded once,
        beside a placeholder."""
        what = f"{len(texts.items)} text(s) with {len(labels)} labels"
        check_sequences(len(texts.items) * len(labels), what, "send fewer of either")
        before, after = template
        hypotheses = [f"{before}{label}{after}" for label in labels]
        encode = self._text.tokenizer.encode
        placeholder = hypotheses[0][:PLACEHOLDER]
        right = encode([(placeholder, hypothesis) for hypothesis in hypotheses])
        for i, pair in enumerate(right):
            for side in (HYPOTHESIS, TEXT):
                self._text.check(pair, f"parameters.candidate_labels[{i}]", side)
        left = encode([(str(text), placeholder) for text in texts.items])
        for i, pair in enumerate(left):
            self._text.check(pair, texts.where(i), TEXT)
        return [self._joined(a, b) for a in left for b in right]

    def _joined(self, left: Encoded, right: Encoded) -> Tokens:
        """The text of `left` with the hypothesis of `right`."""
        (start, stop), (first, last) = left.ranges[HYPOTHESIS], right.ranges[HYPOTHESIS]
        excess = max(0, len(left) - (stop - start) + (last - first) - self._text.max_length)
        if excess and left.size(TEXT) <= excess:
            what = f"a candidate label makes a hypothesis of {last - first} tokens, which leaves no"
            length = self._text.max_length
            raise InvalidValue(f"{what} room for the text; this model takes {length} in all")
        (begin, end), a, b = left.ranges[TEXT], left.tokens, right.tokens
        kept = [(a, 0, end - excess)]
        if self._text.tokenizer.reading.truncation_side == "left":
            kept = [(a, 0, begin), (a, begin + excess, end)]
        cuts = [*kept, (a, end, start), (b, first, last), (a, stop, len(a))]
        ids = np.concatenate([tokens.ids[i:j] for tokens, i, j in cuts])
        return Tokens(ids, np.concatenate([tokens.type_ids[i:j] for tokens, i, j in cuts]))

    def _scores(self, logits: Array, multi_label: bool) -> Array:
        """[texts, labels] of the logits [texts, labels, classes]."""
        if multi_label or logits.shape[1] == 1:
            scores: Array = softmax(logits[..., [self._contradiction, self._entailment]])[..., 1]
            return scores
        return softmax(logits[..., self._entailment])


def _ranked(text: Any, labels: Sequence[str], scores: Array) -> dict[str, Any]:
    order = scores.argsort(kind="stable")[::-1]
    ranked = [labels[i] for i in order]
    return {"sequence": text, "labels": ranked, "scores": scores[order].tolist()}
