"""What the server itself refuses, besides what the core does.

Refusal              code           status  when
├── Unauthorized     unauthorized   401     no API key, or not one of the server's
├── NotFound         not_found      404     a model that is not served
├── Overloaded       overloaded     429     the queue, or the memory for bodies, is full
├── ClientLeft       client_left    499     it closed the connection while it waited
├── NotReady         not_ready      503     the models are being loaded, or the server ends
├── WaitedTooLong    overloaded     503     it was not begun within the time limit
└── RanTooLong       timed_out      504     it was not scored within the time limit
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxferry.scoring.errors import ScoringError


class Refusal(ScoringError):
    """`headers` go with the answer."""

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}


class Unauthorized(Refusal):
    code, status = "unauthorized", 401


class NotFound(Refusal):
    code, status = "not_found", 404


class Overloaded(Refusal):
    code, status = "overloaded", 429


class ClientLeft(Refusal):
    code, status = "client_left", 499


class NotReady(Refusal):
    code, status = "not_ready", 503


class WaitedTooLong(Refusal):
    code, status = "overloaded", 503


class RanTooLong(Refusal):
    code, status = "timed_out", 504
