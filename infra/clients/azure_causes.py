"""What Azure's refusals say, flattened: services put the cause (a quota, a policy, an image) below
a general message, in `details`, `innererror` or `additionalInfo`, one in the other, each service
in its own way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import HttpResponseError

_LONGEST = 600  # characters that are shown of one message,
_ALL = 1500  # and of all
_MESSAGES = ("message", "exceptionmessage")
_BELOW = ("error", "details", "innererror", "innerexception", "additionalinfo")
_SAYS_NOTHING = (
    "the request is invalid",
    "bad request",
    "the template deployment failed",
    "at least one resource deployment operation failed",
    "an error has occurred",
    "see inner error",
)


@dataclass(frozen=True)
class Refusal:
    """`codes` begin with the outermost; `text` is all that was said, in that order, without
    messages that say nothing where others do."""

    codes: tuple[str, ...] = ()
    text: str = ""

    @property
    def code(self) -> str:
        """The code that the service itself gives; "" without any."""
        return self.codes[0] if self.codes else ""


def refusal_of(e: HttpResponseError) -> Refusal:
    """What the service's answer says, or else the SDK's words for it."""
    body = _body(e)
    if not isinstance(body, Mapping):  # storage answers in XML, which its SDK has read
        code = storage_code(e)
        said = body if isinstance(body, str) and not code else e.message
        return flattened({"code": code, "message": str(said or "").partition("\nRequestId:")[0]})
    return flattened(body)


def storage_code(e: HttpResponseError) -> str:
    """The code that blob storage gave; "" where the error is another service's."""
    code = getattr(e, "error_code", None)
    return str(getattr(code, "value", code) or "")


def flattened(body: Any) -> Refusal:
    """What is said by a body of JSON that a service refuses with."""
    said = [(code, message) for code, message in dict.fromkeys(_said(body)) if code or message]
    codes = tuple(dict.fromkeys(code for code, _ in said if code))
    telling = [one for one in said if one[1] and not one[1].lower().startswith(_SAYS_NOTHING)]
    inner = [("", code) for code in codes[1:]]  # a cause that is only a code
    parts: list[str] = []
    for code, message in telling or [one for one in said if one[1]] + inner:
        part = message if code in ("", *codes[:1]) else f"{code}: {message}"
        parts += [] if any(message in other for other in parts) else [part]
    return Refusal(codes, "; ".join(parts)[:_ALL])


def _body(e: HttpResponseError) -> Any:
    """The answer's JSON, or its text; None where it cannot be read (again)."""
    try:
        text = str(e.response.text()) if e.response is not None else ""
    except Exception:
        return None
    return _parsed(text) if text.strip() and not text.lstrip().startswith("<") else None


def _said(node: Any) -> Iterator[tuple[str, str]]:
    """The code and the message of `node` and of all below it; either may be ""."""
    node = _parsed(node) if isinstance(node, str) else node
    if isinstance(node, str):
        yield "", _line(node)
    elif isinstance(node, list):
        for one in node:
            yield from _said(one)
    elif isinstance(node, Mapping):
        yield from _said_by({str(key).lower(): value for key, value in node.items()})


def _said_by(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(node.get("type"), str) and "info" in node:
        yield from _additional(node["type"], node["info"])
        return
    code = str(node.get("code") or "") if isinstance(node.get("code"), str | int) else ""
    for message in (node[key] for key in _MESSAGES if node.get(key)):
        if isinstance(_parsed(message), str):
            yield code, _line(str(message))
        else:
            yield code, ""
            yield from _said(message)
        code = ""
    if code:
        yield code, ""
    for key in _BELOW:
        yield from _said(node.get(key))


def _additional(kind: str, info: Any) -> Iterator[tuple[str, str]]:
    """Of what stands beside an error: a policy, and AzureML's inner error."""
    if kind == "PolicyViolation" and isinstance(info, Mapping):
        keys = ("policyDefinitionDisplayName", "policyAssignmentDisplayName", "policyAssignmentId")
        names = [str(info[key]) for key in keys if info.get(key)]
        yield "RequestDisallowedByPolicy", f"forbidden by the policy {' / '.join(names[:2])}"
    elif kind == "InnerError":
        inner = info.get("value", info) if isinstance(info, Mapping) else info
        yield from _said({"error": inner})


def _parsed(text: Any) -> Any:
    """JSON that was sent as text."""
    if not (isinstance(text, str) and text.lstrip()[:1] in ("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")[:_LONGEST]
