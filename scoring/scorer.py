"""load(model_dir) -> Scorer; Scorer.handle(Request) -> Response, which never raises. Each request
leaves one line on the logger "scoring", at INFO: a JSON object with nothing of the payload."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxferry.scoring import codecs, cpu, limits, loading, timing, tuned, urls
from onnxferry.scoring.engine import Runner, Session
from onnxferry.scoring.errors import InternalError, ModelError, ScoringError
from onnxferry.scoring.forms import PIPELINE, Form
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scoring.tasks import Task, build, needs
from onnxferry.scoring.timing import Observer, RequestMetrics
from onnxferry.scoring.wire import CPU_HEADER, JSON, Request, Response

_log = logging.getLogger("scoring")
ID_LENGTH = 128


class Scorer:
    """One loaded model behind one method. Safe to call from several threads at once."""

    def __init__(
        self,
        spec: ModelSpec,
        task: Task,
        host_cpu: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.spec = spec
        self.task = task
        self._cpu = host_cpu or "unknown"
        self._observer = observer

    def handle(self, request: Request, form: Form = PIPELINE) -> Response:
        """Status 200 with the task's answer, or a ScoringError's with {"error": {"code",
        "message"}}, both in `form`. Headers carry the request's id (sent or made here), the
        milliseconds of each stage, the kind of the host's CPU, and the content's encoding."""
        id_ = request_id(request.id)
        with timing.measuring() as metrics:
            response, code = self._attempt(request, form, id_)
            body, coding = codecs.compress(response.body, request.accept_encoding)
            ids = {"id": id_, "trace": request.trace} if request.trace else {"id": id_}
            stages = self._finish(ids, response.status, code, metrics)
        timings = ", ".join(f"{name};dur={value}" for name, value in stages.items())
        coded = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": coding} if coding else {})
        told = {"X-Request-Id": id_, "Server-Timing": timings, CPU_HEADER: self._cpu}
        headers = {**response.headers, **coded, **told}
        return Response(response.status, body, response.content_type, headers)

    @contextmanager
    def logged(self) -> Iterator[None]:
        """For a host that hands over no Request: one line for what is scored in the block, with an
        id that is made here. The ScoringError that ends it passes on."""
        status, code = 200, None
        with timing.measuring() as metrics:
            try:
                yield
            except ScoringError as e:
                status, code = e.status, e.code
                raise
            finally:
                self._finish({"id": request_id("")}, status, code, metrics)

    def _finish(
        self, ids: Mapping[str, str], status: int, code: str | None, metrics: RequestMetrics
    ) -> dict[str, float]:
        """Log what a request cost and tell the observer; return the milliseconds of each stage."""
        stages = metrics.milliseconds()
        if _log.isEnabledFor(logging.INFO):
            line = {**ids, "model": self.spec.name, "task": self.spec.task}
            counts = {"items": metrics.items, "tokens": metrics.tokens, "batch": metrics.batch}
            spent = {**stages, "total": round(sum(stages.values()), 3)}
            result = {"status": status, "code": code, "cpu": self._cpu}
            _log.info("%s", json.dumps({**line, **result, **counts, "ms": spent}))
        if self._observer:
            self._observer(metrics, status, code)
        return stages

    def answer(self, payload: Any) -> Any:
        """The task's answer, JSON data or numpy arrays in it, to a payload as codecs decode them.
        Raises ScoringError, an InternalError for a defect."""
        try:
            return self.task.answer(payload)
        except ScoringError:
            raise
        except Exception as e:
            _log.exception("unexpected failure while scoring")
            raise InternalError("the model could not score this; the log has the cause") from e

    def _attempt(self, request: Request, form: Form, id_: str) -> tuple[Response, str | None]:
        """The answer or the refusal, and the refusal's code."""
        try:
            return form.answer(self, request), None
        except ScoringError as e:
            error = e
        except Exception:
            _log.exception("request %s: unexpected failure while scoring", id_)
            hint = f"the host's log has the cause under {id_}"
            error = InternalError(f"the model could not score this request; {hint}")
        return Response(error.status, codecs.encode_json(form.refusal(error)), JSON), error.code

    def body(self, request: Request) -> bytes:
        """The request's body, decompressed. Raises TooLarge, or InvalidValue for its encoding."""
        limit, size = self.spec.limits.body_bytes, max(len(request.body), request.content_length)
        if size > limit:
            raise limits.exceeded(f"the body has {size} bytes", limit, "body_bytes")
        return codecs.decompress(request.body, request.content_encoding, limit)


def load(
    model_dir: str | Path,
    environment: Mapping[str, str] = os.environ,
    host_cpu: Callable[[], str | None] = cpu.kind,
    observer: Observer | None = None,
    *,
    spec: ModelSpec | None = None,
) -> Scorer:
    """The scorer of a model directory, or of an .onnx file with what lies beside it; `spec` stands
    for its model_spec.json. Variables of `environment` override limits and engine options, and say
    which pictures may be fetched; `observer` is told of each request. Leaves a line with what it
    took (loading.py), and warns of a graph for another kind of CPU, and where it was tuned on more
    CPUs. Raises ModelError that names the file or the variable."""
    folder, model = located(Path(model_dir))
    spec = spec or ModelSpec.read(folder)
    spec = replace(
        spec, limits=spec.limits.overridden(environment), engine=spec.engine.overridden(environment)
    )
    try:
        needs(spec)
    except ModelError as e:
        raise ModelError(f"{folder}: {e}") from e
    host = host_cpu()
    _warn_of_cpu(spec, host)
    tuned.warn_of_fewer_cpus(spec, cpu.available())
    policy = urls.Policy.read(environment)
    with loading.told(spec.name, spec.task) as clock:
        session = Session(model, spec.engine)
        clock.lap("session")
        scorer = over(session, spec, folder, host, observer)
        clock.lap("task")
    scorer.task = urls.fetching(scorer.task, policy)
    return scorer


def located(path: Path) -> tuple[Path, Path]:
    """The folder and the graph that `path`, either of them, stands for."""
    return (path.parent, path) if path.suffix == ".onnx" else (path, path / MODEL_FILE)


def over(
    runner: Runner,
    spec: ModelSpec,
    folder: Path,
    host: str | None = None,
    observer: Observer | None = None,
) -> Scorer:
    """The scorer of a graph that is loaded. Raises ModelError for a spec that does not fit it."""
    try:
        return Scorer(spec, build(spec, runner, folder), host, observer)
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        what = f"settings in model_spec.json do not fit task '{spec.task}'"
        raise ModelError(f"{folder}: {what} ({e!r})") from e


def _warn_of_cpu(spec: ModelSpec, host: str | None) -> None:
    if spec.cpu is None or host is None or host == spec.cpu:
        return
    inexact = cpu.saturates(host) and not cpu.saturates(spec.cpu)
    made = f"model {spec.name} was prepared in {spec.precision} for {spec.cpu} CPUs"
    effect = "answers may be less accurate" if inexact else "it may be slower"
    text = "%s, and this host's is %s: %s than measured; prepare it with --cpu %s"
    _log.warning(text, made, host, effect, "any" if inexact else host)


def log_requests() -> None:
    """For an adapter to call when it starts: each request's line reaches the host's log, or
    standard output where that has no handlers. A level that the host has set stays."""
    if _log.level == logging.NOTSET:
        _log.setLevel(logging.INFO)
    if not _log.hasHandlers():
        _log.addHandler(logging.StreamHandler(sys.stdout))


def request_id(sent: str) -> str:
    """`sent` without what is not printable ASCII, cut to ID_LENGTH, or a new id."""
    return re.sub("[^!-~]+", "", sent)[:ID_LENGTH] or uuid.uuid4().hex
