"""application/json and JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from onnxferry.scoring.codecs import array_text
from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.errors import InternalError, InvalidBody, InvalidValue


def decode_json(body: bytes, media_type: MediaType) -> Any:
    """JSON data, in one of the UTFs without a charset. Raises InvalidBody that says where."""
    text = media_type.text(body) if media_type.charset() else body
    return _loads(text, "the body")


def decode_jsonlines(body: bytes, media_type: MediaType) -> Any:
    """{"inputs": [an item a line]}; blank lines are skipped. A line may be {"inputs": item,
    "parameters": {...}}. Raises InvalidBody, or InvalidValue for parameters that differ."""
    items, shared = [], None
    for number, line in _lines(media_type.text(body)):
        item = _loads(line, f"line {number} of the body")
        if isinstance(item, dict) and "inputs" in item:
            parameters = item.get("parameters")
            if parameters is not None and shared is not None and parameters != shared:
                what = f"line {number} has other 'parameters' than a line before"
                raise InvalidValue(f"{what}; send it as its own request")
            item, shared = item["inputs"], shared if parameters is None else parameters
        items.append(item)
    if not items:
        raise InvalidBody("the body has no lines; expected JSON Lines, one item a line")
    return {"inputs": items} if shared is None else {"inputs": items, "parameters": shared}


def decode_line(line: bytes, media_type: MediaType) -> Any:
    """JSON data of one line. Raises InvalidBody."""
    return _loads(media_type.text(line), "the line")


def encode_json(answer: Any) -> bytes:
    """UTF-8 JSON, numpy arrays as lists. Raises InternalError for NaN and infinity."""
    try:
        return _text(answer).encode("utf-8", "backslashreplace")
    except ValueError as e:
        raise InternalError("the model's answer holds NaN or infinity") from e


def encode_jsonlines(answer: Any) -> bytes:
    """One line an item of a list or of an array's first axis; another answer is one line."""
    many = isinstance(answer, list) or (isinstance(answer, np.ndarray) and answer.ndim)
    return b"".join(encode_json(item) + b"\n" for item in (answer if many else [answer]))


class _Rows(Exception):
    """The answer holds an array that array_text writes."""


def _text(answer: Any) -> str:
    """Python's writer takes no text from others, so what holds such arrays is opened here."""
    if array_text.fits(answer):
        return array_text.text(answer)
    try:
        return _WRITER.encode(answer)
    except _Rows:
        if isinstance(answer, Mapping):
            named = (f"{_WRITER.encode(str(name))}: {_text(v)}" for name, v in answer.items())
            return f"{{{', '.join(named)}}}"
        return f"[{', '.join(map(_text, answer))}]"


def _plain(value: Any) -> Any:
    if array_text.fits(value):
        raise _Rows
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"an answer holds {type(value).__name__}, which has no JSON form")


_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1. Only LF ends a line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(" \t\r"):
            yield number, line


def _loads(text: str | bytes, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as e:
        what = f"{e.msg} at line {e.lineno} column {e.colno}" if text.strip() else "an empty body"
        raise InvalidBody(f"{where} is not JSON: {what}") from e
    except UnicodeDecodeError as e:
        what = f"not {e.encoding.upper()} text at byte {e.start}"
        raise InvalidBody(f"{where} is not JSON: {what}") from e
    except (RecursionError, ValueError) as e:
        what = "nested too deeply, or a number out of range"
        raise InvalidBody(f"{where} is not JSON that can be read: {what}") from e


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not a JSON number", name, 0)
