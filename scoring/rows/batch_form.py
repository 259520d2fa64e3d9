"""Batch jobs: a row out for each row in, in their order, as JSON Lines. What is refused has its
error in its place, {"error": {"code", "message"}}, since one refused request would cost a whole
file its answers. A file that is no table, like a picture, is one row.

A line of JSON Lines is an item, or a request as an endpoint takes it; its answer is that of the
item among others. The last line ends without a newline: who joins the parts of a file adds it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxferry.scoring import codecs, timing
from onnxferry.scoring.codecs.csv_codec import csv_items
from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.codecs.json_codec import decode_line
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.forms import PIPELINE
from onnxferry.scoring.rows.row_scorer import RowScorer
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.tasks import TASKS
from onnxferry.scoring.wire import JSON, Request, Response


@dataclass(frozen=True)
class Row:
    """One item with its parameters; `request`: what is asked as it is, by itself."""

    item: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request: Any = None


class BatchForm:
    """See Form. JSON Lines and CSV are read by rows; all else is one."""

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form. Raises ScoringError for a body over the limit, or CSV that cannot be read."""
        media_type = MediaType.parse(request.content_type)
        read = _READERS.get(media_type.name)
        if read is None or media_type.name not in codecs.expand(tuple(scorer.task.accepts)):
            return Response(200, _line(whole(scorer, request)), JSON)
        rows = list(read(scorer.body(request), media_type))
        timing.switch("preprocess")
        answers = answered(scorer, rows)
        timing.switch("encode")
        return Response(200, b"\n".join(map(_line, answers)), codecs.JSONLINES[0])

    def refusal(self, error: ScoringError) -> Any:
        """See Form."""
        return PIPELINE.refusal(error)


BATCH = BatchForm()


def is_refused(answer: Any) -> bool:
    """Whether a line, decoded, is an error in its place."""
    error = answer.get("error") if isinstance(answer, dict) and len(answer) == 1 else None
    return isinstance(error, dict) and error.keys() == {"code", "message"}


def _lines(body: bytes, media_type: MediaType) -> Iterator[Row | ScoringError]:
    """A blank line is a row, too, and no JSON; what follows the last newline is none."""
    return (line_row(line, media_type) for line in body.removesuffix(b"\n").split(b"\n"))


def line_row(line: bytes, media_type: MediaType) -> Row | ScoringError:
    """The row of a line of JSON Lines."""
    try:
        return _row(decode_line(line, media_type))
    except ScoringError as e:
        return e


def _row(sent: Any) -> Row:
    if not isinstance(sent, dict) or "inputs" not in sent:
        return Row(sent)
    item, parameters = sent["inputs"], sent.get("parameters") or {}
    if isinstance(item, list) or not isinstance(parameters, dict):
        return Row(item, request=sent)
    return Row(item, parameters)


def _cells(body: bytes, media_type: MediaType) -> Iterator[Row | ScoringError]:
    for item in csv_items(body, media_type):
        yield item if isinstance(item, ScoringError) else Row(item)


_READERS: Mapping[str, Callable[[bytes, MediaType], Iterator[Row | ScoringError]]] = {
    **dict.fromkeys(codecs.JSONLINES, _lines),
    codecs.CSV: _cells,
}


def answered(scorer: Scorer, rows: Sequence[Row | ScoringError]) -> list[Any]:
    """The answer of each row, or the ScoringError that refuses it. Rows with the same parameters
    share the model's runs."""
    answers: list[Any] = [*rows]
    together = defaultdict[str, list[tuple[int, Any]]](list)
    # arrays have their own first axis, and of a user's own task no more is known
    alone = scorer.spec.task == "tensors" or scorer.spec.task not in TASKS
    for i, row in enumerate(rows):
        if isinstance(row, ScoringError):
            continue
        if alone or row.request is not None:
            sent = {"inputs": row.item, "parameters": row.parameters}
            answers[i] = _alone(scorer, row.request or sent)
        else:
            together[json.dumps(row.parameters, sort_keys=True)].append((i, row.item))
    for parameters, placed in together.items():
        places, items = zip(*placed, strict=True)
        for i, answer in zip(places, _by_rows(scorer, items, json.loads(parameters)), strict=True):
            answers[i] = answer
    return answers


def _by_rows(scorer: Scorer, items: Sequence[Any], parameters: Mapping[str, Any]) -> Iterable[Any]:
    try:
        return RowScorer(scorer, parameters).answers(items)
    except ScoringError as e:  # the parameters
        return [e] * len(items)


def _alone(scorer: Scorer, payload: Any) -> Any:
    try:
        return scorer.answer(payload)
    except ScoringError as e:
        return e


def whole(scorer: Scorer, request: Request) -> Any:
    """The answer to the whole body, or the ScoringError that refuses it."""
    try:
        accepted = scorer.task.accepts
        payload = codecs.decode(scorer.body(request), request.content_type, accepted)
        return scorer.answer(payload)
    except ScoringError as e:
        return e


def _line(answer: Any) -> bytes:
    if isinstance(answer, ScoringError):
        return codecs.encode_json(PIPELINE.refusal(answer))
    try:
        return codecs.encode_json(answer)
    except ScoringError as e:
        return codecs.encode_json(PIPELINE.refusal(e))
