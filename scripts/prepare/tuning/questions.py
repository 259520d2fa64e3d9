"""What the model is asked while it is tuned: the user's inputs, or the built-in ones, or the golden
requests; so many that a round takes about a second."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets
from onnxferry.scripts.datasets.built_in import MASK
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS
from onnxferry.scripts.prepare.selection import latency
from onnxferry.scripts.prepare.sources.user_inputs import Sample, read_inputs, samples
from onnxferry.scripts.prepare.tuning.scenario import THROUGHPUT, Scenario
from onnxferry.scripts.prepare.verification import golden
from onnxferry.scripts.prepare.verification.asking import ask
from onnxferry.scripts.prepare.verification.eval_set import TIMED, as_samples
from onnxferry.system.errors import PrepareError, UsageError

ROUND = 1.0  # seconds that all requests of one input may take, one after the other
THRESHOLD = 0.5  # of labels, which no time depends on
REQUEST = 0.3  # seconds that a request of many inputs may take


@dataclass(frozen=True)
class Questions:
    """`requests`, as the benchmark's engine takes them; `inputs` of each; and in words."""

    requests: tuple[list[Any], ...]
    inputs: int
    what: str


@dataclass(frozen=True)
class Given:
    """The user's inputs: an evaluation set, request bodies or pictures, or neither."""

    data: Path | None = None
    inputs: Path | None = None

    def read(self, spec: ModelSpec) -> list[Sample]:
        """Raises UsageError that names the flag."""
        for flag, path in (("data", self.data), ("inputs", self.inputs)):
            if path and not path.exists():
                raise UsageError(f"--{flag} {path}: no such file or folder")
        found = read_inputs(self.inputs, spec.task)
        if self.data:
            items = datasets.evenly(datasets.read(self.data, spec.task, spec.labels), TIMED)
            found += as_samples(items, TASK_METRICS[spec.task](spec, items, THRESHOLD))
        return found


def questions(scorer: Scorer, given: Given, scenario: Scenario, cpus: int) -> Questions:
    """Of those that the model takes. Raises UsageError for an input of the user's that it refuses,
    PrepareError where there is nothing to ask."""
    asked = _given(scorer, given) or _built_in(scorer)
    if not asked:
        what = "there is no input to tune it with, built in or golden"
        raise PrepareError(f"{scorer.spec.name}: {what}; give some with --inputs FILE")
    ones = datasets.evenly(asked, latency.FEW)
    seconds = _seconds(scorer, ones)
    if scenario.name == THROUGHPUT:
        many = _many(scorer, asked, seconds)
        if many:
            request, inputs = many
            return Questions(([_item(request)],) * max(cpus, 1), inputs, _told(asked, given))
    ones = datasets.evenly(ones, max(1, int(ROUND / seconds)))
    return Questions(tuple([_item(s.request)] for s in ones), 1, _told(asked, given))


def _given(scorer: Scorer, given: Given) -> list[Sample]:
    found = given.read(scorer.spec)
    for sample in found:
        response, why = ask(scorer, sample.request)
        if response.status != 200:
            flag = "--data" if given.data and not given.inputs else "--inputs"
            raise UsageError(f"{flag}: {sample.where}: the model refuses it: {why}")
    return found


def _built_in(scorer: Scorer) -> list[Sample]:
    spec = scorer.spec
    own = spec.golden.all if spec.golden else ()
    built_in = samples(spec.task, None, spec.settings.get("mask_token", MASK))
    built_in = built_in or golden.pictures(spec)
    for found in (built_in, [Sample(each.request, "golden") for each in own]):
        if taken := [s for s in found if ask(scorer, s.request)[0].status == 200]:
            return taken
    return []


def _seconds(scorer: Scorer, asked: Sequence[Sample]) -> float:
    """What one of them takes: the least of a few passes, by which nothing is chosen."""
    return min(_pass(scorer, asked) for _ in range(2)) / len(asked)


def _pass(scorer: Scorer, asked: Sequence[Sample]) -> float:
    began = time.perf_counter()
    for sample in asked:
        scorer.handle(sample.request)
    return max(time.perf_counter() - began, 1e-6)


def _many(scorer: Scorer, asked: Sequence[Sample], seconds: float) -> tuple[Request, int] | None:
    """A request of as many inputs as take REQUEST; None where the task takes no lists."""
    count = max(1, min(latency.MANY, int(REQUEST / seconds), scorer.spec.limits.items))
    request = latency.timed_requests(scorer.spec.task, asked, many=count).many
    if request is None or scorer.handle(request).status != 200:
        return None
    return request, count


def _item(request: Request) -> dict[str, str]:
    return {
        "body": base64.b64encode(request.body).decode("ascii"),
        "content_type": request.content_type,
    }


def _told(asked: Sequence[Sample], given: Given) -> str:
    whose = "given" if given.data or given.inputs else "built-in"
    return f"{len(asked)} {whose} inputs"
