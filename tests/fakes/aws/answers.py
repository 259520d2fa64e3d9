"""Answers and refusals in the words of each service's protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.scoring.wire import Response
from tests.fakes.aws.calls import QUERY, Call


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal(Exception):
    """What an operation refuses with."""

    code: str
    message: str
    status: int = 400


def answer(data: Any) -> Answer:
    """A JSON service's answer."""
    return Answer(200, json.dumps(data).encode(), {"Content-Type": "application/x-amz-json-1.1"})


def refuse(call: Call, refusal: Refusal) -> Answer:
    code, message, status = refusal.code, refusal.message, refusal.status
    if call.method == "HEAD":
        return Answer(status)
    if call.service == "s3":
        error = f"<Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId>"
        text = f"<Error>{error}</Error>"
        return Answer(status, text.encode(), {"Content-Type": "application/xml"})
    if call.service in QUERY:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            "<RequestId>1</RequestId></ErrorResponse>"
        )
        return Answer(status, text.encode(), {"Content-Type": "text/xml"})
    body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    return Answer(status, body, {"Content-Type": "application/json", "x-amzn-ErrorType": code})


def validation(message: str) -> Refusal:
    return Refusal("ValidationException", message)


def limit(what: str, most: float, used: int, more: int) -> Refusal:
    """More than a quota allows."""
    return Refusal(
        "ResourceLimitExceeded",
        f"The account-level service limit '{what}' is {most:g} Instances, with current utilization"
        f" of {used} Instances and a request delta of {more} Instances. Please use AWS Service"
        " Quotas to request an increase for this quota.",
    )


def said(response: Response) -> str:
    """What the log and a failure object say of a refusal."""
    text = response.body.decode("utf-8", errors="replace")
    side = "client" if response.status < 500 else "server"
    return f'Received {side} error ({response.status}) from primary with message "{text}".'


def model_error(response: Response) -> Answer:
    """ModelError: the container's own refusal."""
    side = "CLIENT" if response.status < 500 else "SERVER"
    data = {
        "ErrorCode": f"{side}_ERROR_FROM_MODEL",
        "LogStreamArn": "arn:aws:logs:eu-west-1:123456789012:log-group:x",
        "Message": said(response),
        "OriginalMessage": response.body.decode("utf-8", errors="replace"),
        "OriginalStatusCode": response.status,
    }
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ModelError"}
    return Answer(424, json.dumps(data).encode(), headers)
