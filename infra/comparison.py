"""How the answers and the latency of two versions differ, on the requests that both were sent.

Answers are the same where they differ by no more than the model's tolerance; they agree where they
come to the same decision, by the task: the same best label, span, entities or objects. Payloads
are in a report only where somebody asks for them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.infra.shadow_traffic import (
    CapturedAnswer,
    Paired,
    ShadowTraffic,
    VersionTraffic,
    paired,
)
from onnxferry.scoring.codecs import CSV
from onnxferry.scoring.codecs.media_types import JSONLINES
from onnxferry.scoring.golden import difference
from onnxferry.scoring.manifest import TOLERANCE, ModelSpec
from onnxferry.scoring.wire import JSON


@dataclass(frozen=True)
class AnswerRules:
    """When two answers are the same, and when they agree (None: nobody knows the task)."""

    tolerance: float = TOLERANCE
    task: str = ""
    agree: Callable[[Any, Any], bool] | None = None

    @classmethod
    def of(cls, spec: ModelSpec | None, tolerance: float | None = None) -> AnswerRules:
        """Those of a model; `tolerance` in place of the one that is recorded with it."""
        from onnxferry.scripts.metrics.agreement import AGREE

        recorded = spec.golden.tolerance if spec and spec.golden else TOLERANCE
        least = recorded if tolerance is None else tolerance
        if spec is None or spec.task not in AGREE:
            return cls(least)
        agree, labels = AGREE[spec.task], len(spec.labels)
        return cls(least, spec.task, lambda a, b: agree(a, b, labels))

    def agrees(self, *values: Any, items: int | None) -> bool | None:
        """Whether two answers decide the same, for each of the request's `items` where it has
        several. Answers of different forms do not."""
        if self.agree is None:
            return None
        try:
            if items is not None and all(isinstance(v, list) and len(v) == items for v in values):
                return all(self.agree(a, b) for a, b in zip(*values, strict=True))
            return self.agree(*values)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            return not difference(values[0], values[1], self.tolerance)


@dataclass(frozen=True)
class DifferingAnswer:
    """A request whose answers differ: its name and time, `place` where they do first, and whether
    they `agree` all the same. Request and answers are "" where nobody asked for them."""

    id: str
    time: str
    place: str
    agree: bool | None
    request: str = ""
    served: str = ""
    shadowed: str = ""


@dataclass(frozen=True)
class VersionSummary:
    """One version's part: how many answers were captured, and of those that were compared how many
    are errors."""

    name: str
    version: str
    captured: int
    errors: int
    metrics: RequestMetrics | None


@dataclass(frozen=True)
class ComparisonReport:
    """What was compared: of `pairs` requests that both answered, how many answers are the `same`
    within `tolerance`, and how many `agree` (None where the task is not known)."""

    since: str
    percent: float
    pairs: int
    same: int
    agree: int | None
    tolerance: float
    task: str
    serving: VersionSummary
    shadow: VersionSummary
    differing: tuple[DifferingAnswer, ...]
    notes: tuple[str, ...]

    @property
    def agreement(self) -> float:
        """The part of the pairs, 0 to 1, that agree; that are the same, where the task is not
        known."""
        counted = self.same if self.agree is None else self.agree
        return counted / self.pairs if self.pairs else 0.0

    @property
    def slower(self) -> float | None:
        """The shadow's p95 latency as a multiple of the other's; None where unknown."""
        both = [one.metrics.p95_ms if one.metrics else None for one in (self.serving, self.shadow)]
        return both[1] / both[0] if both[0] and both[1] is not None else None

    def to_json(self) -> str:
        """All of it as JSON text."""
        told = {"agreement": self.agreement if self.pairs else None, "slower": self.slower}
        return json.dumps({**asdict(self), **told}, indent=2, ensure_ascii=False) + "\n"


def compare(traffic: ShadowTraffic, rules: AnswerRules, show: int = 0) -> ComparisonReport:
    """`traffic` compared; the request and the answers of the first `show` that differ are in it."""
    pairs = paired(traffic.serving.answers, traffic.shadow.answers)
    verdicts = [_verdict(pair, rules) for pair in pairs]
    differing = [(p, v) for p, v in zip(pairs, verdicts, strict=True) if v.place]
    errors = [sum(is_error(pair[side]) for pair in pairs) for side in (0, 1)]
    return ComparisonReport(
        traffic.since,
        traffic.percent,
        len(pairs),
        len(pairs) - len(differing),
        sum(bool(v.agree) for v in verdicts) if rules.agree else None,
        rules.tolerance,
        rules.task,
        _summary(traffic.serving, errors[0]),
        _summary(traffic.shadow, errors[1]),
        tuple(_shown(p, v) if i < show else v for i, (p, v) in enumerate(differing)),
        traffic.notes,
    )


def _summary(one: VersionTraffic, errors: int) -> VersionSummary:
    return VersionSummary(one.name, one.version, len(one.answers), errors, one.metrics)


def _verdict(pair: Paired, rules: AnswerRules) -> DifferingAnswer:
    """How a pair differs; `place` is "" where it does not."""
    served, shadowed = pair
    name = next(filter(None, (*shadowed.ids, *served.ids)), shadowed.request[:12])
    if is_error(served) or is_error(shadowed):
        place = "" if is_error(served) and is_error(shadowed) else _refused(served, shadowed)
        return DifferingAnswer(name, shadowed.time, place, not place)
    values = [value_of(answer) for answer in pair]
    said = difference(values[0], values[1], rules.tolerance) or ""
    agree = rules.agrees(*values, items=served.items or shadowed.items)
    return DifferingAnswer(name, shadowed.time, said.partition(": ")[0], agree)


def _refused(served: CapturedAnswer, shadowed: CapturedAnswer) -> str:
    return "only the shadow failed" if is_error(shadowed) else "only the serving version failed"


def _shown(pair: Paired, verdict: DifferingAnswer) -> DifferingAnswer:
    bodies = [(answer.body or b"")[:2000].decode("utf-8", errors="replace") for answer in pair]
    what = {"request": pair[1].shown or pair[0].shown, "served": bodies[0], "shadowed": bodies[1]}
    return DifferingAnswer(verdict.id, verdict.time, verdict.place, verdict.agree, **what)


def is_error(answer: CapturedAnswer) -> bool:
    """Whether it is a model's error, in the shape that all hosts answer it, or was not captured."""
    if answer.body is None:
        return True
    value = value_of(answer)
    said = value.get("error") if isinstance(value, dict) and len(value) == 1 else None
    return isinstance(said, dict) and {"code", "message"} <= said.keys()


def value_of(answer: CapturedAnswer) -> Any:
    """An answer as data: numbers of a table as numbers, and what is not text as hexadecimal
    digits."""
    body, media_type = answer.body or b"", answer.media_type
    try:
        text = body.decode("utf-8")
        if media_type in JSONLINES:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        if media_type == CSV:
            return [[_cell(cell) for cell in row] for row in csv.reader(io.StringIO(text))]
        return json.loads(text) if media_type == JSON else text
    except UnicodeDecodeError:
        return body.hex()
    except ValueError:
        return text


def _cell(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
