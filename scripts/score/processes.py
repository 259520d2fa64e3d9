"""Batches scored in this process, or in several, each with one thread, in the order in which they
came."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from onnxferry import scoring
from onnxferry.scoring.engine_options import PREFIX
from onnxferry.scoring.rows import RowScorer
from onnxferry.scripts import local_scorer
from onnxferry.scripts.score.arrow_batches import ColumnMapping, score_batch
from onnxferry.scripts.score.formats.reading import Rows
from onnxferry.scripts.score.job import ScoreJob
from onnxferry.system.errors import BatchScoringError

Answers = Callable[[Rows], pa.RecordBatch]
_scores: Answers  # of a process of the pool


def answered(
    job: ScoreJob, mapping: ColumnMapping, given: Iterator[Rows]
) -> Generator[pa.RecordBatch, None, None]:
    """The batches with their answers. Raises UsageError for an unusable model, ScoringError for
    wrong parameters, and BatchScoringError where a process dies."""
    scorer = local_scorer.load(job.model)
    if job.processes == 1:
        rows = RowScorer(scorer, job.parameters)
        return (score_batch(rows, one.batch, mapping, one.broken) for one in given)
    return _by_processes(job, mapping, given)


def _by_processes(
    job: ScoreJob, mapping: ColumnMapping, given: Iterator[Rows]
) -> Generator[pa.RecordBatch, None, None]:
    spawn = multiprocessing.get_context("spawn")  # threads, which ONNX Runtime has, do not fork
    start = partial(_start, job.model, dict(job.parameters), mapping)
    others = {*multiprocessing.active_children()}
    with ProcessPoolExecutor(job.processes, spawn, start) as pool:
        try:
            yield from _in_order(pool, given, 2 * job.processes)
        except BrokenProcessPool as e:
            advice = "where memory is short, run again with fewer --processes"
            raise BatchScoringError(f"a process that scores has died; {advice}") from e
        except BaseException:
            for process in {*multiprocessing.active_children()} - others:
                process.terminate()  # else Ctrl-C would wait for what they are at
            raise


def _in_order(
    pool: ProcessPoolExecutor, given: Iterator[Rows], ahead: int
) -> Iterator[pa.RecordBatch]:
    waiting: deque[Future[pa.RecordBatch]] = deque()
    for batch in given:
        waiting.append(pool.submit(_answer, batch))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start(model: Path, parameters: Mapping[str, Any], mapping: ColumnMapping) -> None:
    global _scores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one = {**os.environ, f"{PREFIX}THREADS": "1"}
    rows = RowScorer(scoring.load(model, one), parameters)
    _scores = lambda one: score_batch(rows, one.batch, mapping, one.broken)  # noqa: E731


def _end_with_parent() -> None:
    """Else a process whose parent was killed would wait for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _answer(batch: Rows) -> pa.RecordBatch:
    return _scores(batch)
