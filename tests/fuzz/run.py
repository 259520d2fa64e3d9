"""The run: models in turn, each request from its own seed, what is wrong with its answer, how much
memory is taken."""

from __future__ import annotations

import functools
import gc
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import psutil  # type: ignore[import-untyped]

from onnxferry import scoring
from onnxferry.scoring.wire import Request
from tests.fuzz import checks, models, mutations, valid

WARM_UP = 0.2  # of the requests, before memory counts
SAMPLES = 50  # of memory in a run
STEPS = 400  # of shrinking a request that fails


@dataclass(frozen=True)
class Case:
    """Request `number` to a model in the run of `seed`: enough to make it again."""

    seed: int
    model: str
    number: int

    def request(self, scorer: scoring.Scorer) -> Request:
        names = parameters_of(self.model, scorer)
        random = Random(f"{self.seed} {self.model} {self.number}")  # noqa: S311
        return mutations.request(self.model, names, random)


@dataclass(frozen=True)
class Failure:
    """A case whose answer is wrong, and the smallest request found that has the same fault."""

    case: Case
    problem: str
    request: Request


@dataclass
class Outcome:
    """`growth` is the rise of resident memory in MiB after the warm-up, `slowest` the seconds of
    the slowest case."""

    requests: int = 0
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    growth: float = 0.0
    slowest: tuple[float, Case] = (0.0, Case(0, "", 0))


class Lines(logging.Handler):
    """What scoring logs of the request at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))

    def problem(self, status: int) -> str | None:
        """What is wrong with the lines since the last call: one line of short JSON is right, a
        traceback only is with a 500."""
        records, self.records = self.records, []
        if status == 500:
            return next(
                (text.strip().rpartition("\n")[2] for text in records if "Traceback" in text), None
            )
        if len(records) != 1 or "\n" in records[0] or len(records[0]) > checks.LONGEST:
            return (
                f"{len(records)} log line(s), the longest of {max(map(len, records), default=0)}"
                " characters"
            )
        return (
            None if json.loads(records[0])["status"] == status else "a log line with another status"
        )


def scorers(folder: Path, names: Sequence[str] = models.NAMES) -> dict[str, scoring.Scorer]:
    """The models of `names` by name, made below `folder` and loaded."""
    return {name: scoring.load(models.make(name, folder / name)) for name in names}


@functools.lru_cache(64)
def parameters_of(name: str, scorer: scoring.Scorer) -> tuple[str, ...]:
    """The parameters that a model takes, as it tells whoever sends another one."""
    payload = {**valid.payload(name, Random(0)), "parameters": {"?": 1}}  # noqa: S311
    message = json.loads(scorer.handle(Request(valid.write(payload).encode())).body)["error"][
        "message"
    ]
    return tuple(message.partition("known: ")[2].split(", "))


def fuzz(
    loaded: Mapping[str, scoring.Scorer], requests: int, seed: int, enough: int = 10
) -> Outcome:
    """Send `requests` to the `loaded` models in turn; stop at `enough` failures of different
    kinds."""
    outcome, names = Outcome(), sorted(loaded)
    before, every = 0.0, max(1, requests // SAMPLES)
    with _listening() as lines:
        for i in range(requests):
            case = Case(seed, names[i % len(names)], i // len(names))
            _send(loaded[case.model], case, outcome, lines)
            if i % every == 0 or i == requests - 1:
                now, warm = _resident(), i >= requests * WARM_UP
                before, outcome.growth = (before, now - before) if warm else (max(before, now), 0.0)
            if len(outcome.failures) >= enough:
                break
    return outcome


def _send(model: scoring.Scorer, case: Case, outcome: Outcome, lines: Lines) -> None:
    request = case.request(model)
    began = time.perf_counter()
    status, code, found = _ask(model, request, lines)
    seconds = time.perf_counter() - began
    outcome.slowest = max(outcome.slowest, (seconds, case), key=lambda s: s[0])
    outcome.requests += 1
    outcome.statuses[case.model, status] += 1
    outcome.codes[code] += 1
    if found and not any(
        _kind(f.problem) == _kind(found) and f.case.model == case.model for f in outcome.failures
    ):
        small = shrink(
            request, lambda smaller: _kind(_ask(model, smaller, lines)[2]) == _kind(found)
        )
        outcome.failures.append(Failure(case, found, small))


def _ask(model: scoring.Scorer, request: Request, lines: Lines) -> tuple[int, str, str | None]:
    """(status, code, what is wrong or None)."""
    lines.records.clear()
    try:
        response = model.handle(request)
    except Exception as e:
        return 0, "raised", f"handle raised {type(e).__name__}: {e}"
    code = (
        json.loads(response.body)["error"]["code"]
        if response.status != 200 and response.body[:1] == b"{"
        else "ok"
    )
    logged = lines.problem(response.status)
    return response.status, code, logged or checks.problem(request, response)


def _kind(problem: str | None) -> str:
    return (problem or "")[:40]


def shrink(request: Request, fails: Callable[[Request], bool]) -> Request:
    """The smallest request found that still fails: headers back to their defaults, then the body
    piece by piece."""
    plain = Request(request.body)
    for name in (
        "content_type",
        "accept",
        "content_encoding",
        "accept_encoding",
        "id",
        "content_length",
    ):
        candidate = replace(request, **{name: getattr(plain, name)})
        request = candidate if fails(candidate) else request
    size, steps = len(request.body) // 2, 0
    while size and steps < STEPS:
        at = 0
        while at < len(request.body) and steps < STEPS:
            candidate = replace(request, body=request.body[:at] + request.body[at + size :])
            steps += 1
            request, at = (candidate, at) if fails(candidate) else (request, at + size)
        size //= 2
    return request


def _resident() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss / 2**20)


@contextmanager
def _listening() -> Iterator[Lines]:
    """scoring's log at INFO, kept, for as long as the block runs."""
    log, lines = logging.getLogger("scoring"), Lines()
    level, propagate = log.level, log.propagate
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield lines
    finally:
        log.removeHandler(lines)
        log.setLevel(level)
        log.propagate = propagate
