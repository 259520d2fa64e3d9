"""The program of a scoring process. It reads frames from the socket that is its standard input,
loads, drops and asks models as they say, and answers each when it is done, in any order.

frame "do"   further in its header                         answered with
load         key, folder, proved                           {}, or the error's "message"
drop         key                                           {}
score        key, form, request (all but its body)         the response (all but its body), observed

It ends when the socket does: with the server, however that ended.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.targets.local import backend, forms
from onnxferry.targets.local.observation import Observation
from onnxferry.targets.local.workers import frames
from onnxferry.targets.local.workers.frames import Frame

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Serve until the socket ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server ends it, when all is answered
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format=backend.LOG_FORMAT)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        Process(connection).run()
    logging.shutdown()
    os._exit(0)  # nobody waits for what is still scored


class Process:
    """The models of this process, and its threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._scorers: dict[str, scoring.Scorer] = {}
        self._observed = threading.local()

    def run(self) -> None:
        """Until the socket ends; many frames are answered at once."""
        pool = ThreadPoolExecutor(backend.CALLS, "score")
        with self._connection.makefile("rb") as stream, suppress(ConnectionError):
            for frame in frames.read(stream):
                pool.submit(self._answer, frame, self._action(frame))

    def _action(self, frame: Frame) -> Callable[[], Frame]:
        """What answers it, decided in the order in which frames come: a model that is dropped
        answers what came before."""
        key = frame.header["key"]
        if frame.header["do"] == "load":
            proved = frame.header["proved"]
            return partial(self._load, key, Path(frame.header["folder"]), proved)
        if frame.header["do"] == "drop":
            self._scorers.pop(key, None)
            return partial(Frame, {})
        return partial(self._score, self._scorers[key], frame)

    def _answer(self, frame: Frame, action: Callable[[], Frame]) -> None:
        try:
            answer = action()
        except Exception as e:
            if not isinstance(e, scoring.ScoringError):
                _LOG.exception("unexpected failure")
            answer = Frame({"message": str(e) or repr(e)})
        told = Frame({**answer.header, "id": frame.header["id"]}, answer.body).packed()
        with self._sending, suppress(OSError):  # the server is gone, and this process ends
            self._connection.sendall(told)

    def _load(self, key: str, folder: Path, proved: bool) -> Frame:
        self._scorers[key] = backend.load(folder, self._observe, proved)
        return Frame({})

    def _observe(self, *finished: Any) -> None:
        """In the thread that scored."""
        self._observed.last = Observation.of(*finished)

    def _score(self, scorer: scoring.Scorer, frame: Frame) -> Frame:
        request = scoring.Request(frame.body, **frame.header["request"])
        response = scorer.handle(request, forms.named(frame.header["form"]))
        told = {"status": response.status, "content_type": response.content_type}
        observed = self._observed.last.to_json()
        return Frame({**told, "headers": response.headers, "observed": observed}, response.body)
