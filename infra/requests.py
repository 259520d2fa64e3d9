"""What `invoke` sends, from a file, standard input or a text, and what it shows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import click

from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.request_file import read_request
from onnxferry.system.console import err
from onnxferry.system.errors import UsageError


def request_of(
    source: Path | None, text: str | None, content_type: str | None = None, accept: str = JSON
) -> Request:
    """The request of `source` (a file, or "-") or `text`. Raises UsageError without one, for both,
    and for a file that cannot be read."""
    if text is not None and source is None:
        return Request(json.dumps({"inputs": text}).encode(), JSON, accept)
    if source is None or text is not None:
        raise UsageError("give one of them: --input FILE (- is standard input) or --text TEXT")
    if str(source) == "-":
        return Request(sys.stdin.buffer.read(), content_type or JSON, accept)
    try:
        if content_type:
            return Request(source.read_bytes(), content_type, accept)
        return replace(read_request(source, "--input "), accept=accept)
    except OSError as e:
        raise UsageError(f"--input {source}: cannot be read ({e.strerror})") from e


def show(reply: Reply, output: str) -> None:
    """Print the answer, and on standard error status, latency and what served it; or all as
    JSON."""
    text = reply.body.decode("utf-8", errors="replace")
    if output == "json":
        keys = ("status", "seconds", "served_by", "content_type")
        facts = {**{key: getattr(reply, key) for key in keys}, "answer": _data(text)}
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(text)
    took, by = f"{reply.seconds * 1000:.0f} ms", reply.served_by or "unknown"
    err.print(f"status {reply.status}, {took}, served by {by}")


def _data(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
