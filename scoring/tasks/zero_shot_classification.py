"""Zero-shot classification: an entailment (NLI) model judges for each label whether the text
entails "This is LABEL".

Request: {"inputs": text | [text, ...], "parameters": {"candidate_labels": [label, ...] or "label,
label", "hypothesis_template", "multi_label"}}; `multi_class` is the older name of multi_label.
DeepSparse's form is read too: {"sequences": ..., "labels": [...]}, with the parameters beside them.
Answer, as transformers' zero-shot-classification pipeline gives it: {"sequence", "labels",
"scores"}, best first; a list is answered by a list. Scores are a softmax of the labels' entailment
logits; with multi_label, or one label, each is its own softmax of entailment against contradiction
(Yin et al., arXiv:1909.00161).

The text gives way where text and hypothesis are longer than the model; a hypothesis is never cut.
The one of the spec's `labels` that begins with "entail" is entailment; contradiction is the first
label, or the last where the first is entailment. Settings besides those of every text task:
`candidate_labels`, `hypothesis_template`, `multi_label` (what a request without them gets).
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import TEXT as PLAIN
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, MissingField
from onnxferry.scoring.labels import Labels, softmax
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import Encoder, Texts, expect_sequences, read_texts
from onnxferry.scoring.tokenization import Encoded, Tokens
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

TEMPLATE = 1000  # characters of a template: each label is written into a copy
PARTNER = 200  # characters of the text that only keeps a place
TEXT, HYPOTHESIS = 0, 1


def read_labels(value: object, where: str) -> list[str]:
    """A list of labels, or one string with commas between them."""
    labels = (
        [part.strip() for part in value.split(",")]
        if isinstance(value, str)
        else validation.strings(value, where)
    )
    if isinstance(value, str):
        labels = [label for label in labels if label]
    if not labels:
        raise InvalidValue(f"'{where}' holds no label")
    return [validation.text(label, f"{where}[{i}]") for i, label in enumerate(labels)]


def read_template(value: object, where: str) -> tuple[str, str]:
    """What stands before and after the label: a template has one {} and is no program, as
    str.format would read it."""
    text = validation.text(value, where)
    if len(text) > TEMPLATE:
        raise InvalidValue(f"'{where}' has {len(text)} characters; at most {TEMPLATE} are taken")
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as e:
        raise InvalidValue(
            f"'{where}' has a brace without its pair; write {{{{ and }}}} for braces"
        ) from e
    places = [i for i, part in enumerate(parts) if part[1] is not None]
    if (
        len(places) != 1
        or parts[places[0]][1] not in ("", "0")
        or parts[places[0]][2]
        or parts[places[0]][3]
    ):
        raise InvalidValue(f"'{where}' must hold {{}} once, where the label goes")
    literals = [part[0] for part in parts]
    return "".join(literals[: places[0] + 1]), "".join(literals[places[0] + 1 :])


SETTINGS = {
    **settings.TEXT,
    "candidate_labels": Parameter(read_labels),
    "hypothesis_template": Parameter(read_template, ("This example is ", ".")),
    "multi_label": Parameter(validation.flag, False),
}


def _entailment(names: Sequence[str]) -> int:
    for i, name in enumerate(names):
        if name.lower().startswith("entail"):
            return i
    raise ValueError(
        "none of 'labels' begins with 'entail'; name the NLI model's labels in the order of its"
        " output"
    )


class ZeroShotClassification:
    accepts = (JSON, PLAIN)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = settings.read(spec.settings, SETTINGS)
        self._logits = Labels(spec.labels, runner)
        self._entailment = _entailment(spec.labels)
        self._contradiction = len(spec.labels) - 1 if self._entailment == 0 else 0
        self._encoder = Encoder.load(spec, runner, folder, own)
        self._parameters = {
            "candidate_labels": Parameter(read_labels, own["candidate_labels"]),
            "hypothesis_template": Parameter(read_template, own["hypothesis_template"]),
            "multi_label": Parameter(validation.flag),
            "multi_class": Parameter(validation.flag, own["multi_label"]),
        }

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        texts = read_texts(data, self._encoder.limits.items)
        options = validation.parameters(self._gathered(data), self._parameters)
        if (labels := options["candidate_labels"]) is None:
            raise MissingField(
                "'parameters.candidate_labels' is missing; give the labels to choose from"
            )
        several = (
            options["multi_class"] if options["multi_label"] is None else options["multi_label"]
        )
        rows = self._encoder.model.run(
            self._pairs(texts, labels, options), lambda row, _: self._logits.logits(row)
        )
        scores = self._scores(np.stack(rows).reshape(len(texts.items), len(labels), -1), several)
        return texts.shape(
            [_ranked(text, labels, row) for text, row in zip(texts.items, scores, strict=True)]
        )

    def _gathered(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body with the parameters that stand beside the texts among its `parameters`."""
        beside = {name: data[name] for name in self._parameters if name in data}
        if "labels" in data:
            beside["candidate_labels"] = data["labels"]
        given = data.get("parameters")
        return {
            "parameters": (
                {**beside, **given}
                if isinstance(given, dict)
                else beside
                if given is None
                else given
            )
        }

    def _pairs(
        self, texts: Texts, labels: Sequence[str], options: Mapping[str, Any]
    ) -> list[Tokens]:
        """Text and hypothesis as one sequence, for each label of each text. Each is encoded once,
        with a short partner whose place the others then take."""
        count = len(texts.items) * len(labels)
        expect_sequences(
            count, f"{len(texts.items)} text(s) with {len(labels)} labels", "send fewer of either"
        )
        before, after = options["hypothesis_template"]
        hypotheses = [f"{before}{label}{after}" for label in labels]
        encode = self._encoder.tokenizer.encode
        partner = hypotheses[0][:PARTNER]
        right = encode([(partner, hypothesis) for hypothesis in hypotheses])
        for i, pair in enumerate(right):
            for side in (HYPOTHESIS, TEXT):
                self._encoder.check(pair, f"parameters.candidate_labels[{i}]", side)
        left = encode([(str(text), partner) for text in texts.items])
        for i, pair in enumerate(left):
            self._encoder.check(pair, texts.where(i), TEXT)
        return [self._joined(a, b) for a in left for b in right]

    def _joined(self, left: Encoded, right: Encoded) -> Tokens:
        """The text of `left` with the hypothesis of `right`."""
        (start, stop), (first, last) = left.ranges[HYPOTHESIS], right.ranges[HYPOTHESIS]
        excess = max(0, len(left) - (stop - start) + (last - first) - self._encoder.max_length)
        if excess and left.size(TEXT) <= excess:
            raise InvalidValue(
                f"a candidate label makes a hypothesis of {last - first} tokens, which leaves no"
                f" room for the text; this model takes {self._encoder.max_length} in all"
            )
        end = left.ranges[TEXT][1]
        pieces = (
            (left, 0, end - excess),
            (left, end, start),
            (right, first, last),
            (left, stop, len(left)),
        )
        ids = np.concatenate([side.tokens.ids[a:b] for side, a, b in pieces])
        return Tokens(ids, np.concatenate([side.tokens.type_ids[a:b] for side, a, b in pieces]))

    def _scores(self, logits: Array, several: bool) -> Array:
        """[texts, labels] of the logits [texts, labels, classes]."""
        if several or logits.shape[1] == 1:
            scores: Array = softmax(logits[..., [self._contradiction, self._entailment]])[..., 1]
            return scores
        return softmax(logits[..., self._entailment])


def _ranked(text: Any, labels: Sequence[str], scores: Array) -> dict[str, Any]:
    order = scores.argsort(kind="stable")[::-1]
    return {
        "sequence": text,
        "labels": [labels[i] for i in order],
        "scores": [float(scores[i]) for i in order],
    }
