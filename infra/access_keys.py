"""How callers of an endpoint prove who they are, and the keys by which they do. A key's value is
printed only where it is asked for; its fingerprint tells which of two values somebody has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.errors import NotFound
from onnxferry.system.exits import program

KINDS = ("primary", "secondary")
_OTHER = {"primary": "secondary", "secondary": "primary"}


def fingerprint(value: str) -> str:
    """8 digits that stand for a key; nobody gets from them to it, as a key is long and random."""
    return hashlib.sha256(value.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class AccessKey:
    """A key by its `name`; `kind` is one of KINDS, "" for one that is the owner's affair."""

    name: str
    kind: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Access:
    """`auth` is the mode in deploy.toml's word, `how` what a caller sends; `other` says what
    applies where there are no keys, "" where there are."""

    endpoint: str
    auth: str
    how: str
    keys: tuple[AccessKey, ...] = ()
    other: str = ""

    def key(self, kind: str) -> AccessKey:
        """The key of that kind. Raises NotFound where there is none."""
        for key in self.keys:
            if key.kind == kind:
                return key
        there = ", ".join(key.name for key in self.keys)
        made = f"there are: {there}; {program('keys')} --rotate {kind} makes it"
        raise NotFound(f"{self.endpoint}: it has no {kind} key; {self.other or made}")

    def lines(self) -> Iterator[str]:
        """What people read; no key is in it."""
        yield f"{self.endpoint}: auth {self.auth}. {self.how}"
        for key in self.keys:
            shown = f"fingerprint {fingerprint(key.value)}"
            more = f"; to see it: {program('keys')} --show {key.kind}" if key.kind else ""
            yield f"  {key.name}: {shown}{more}"
        if self.other:
            yield f"  {self.other}"

    def data(self) -> dict[str, Any]:
        """The same as JSON data."""
        found = [{"name": k.name, "fingerprint": fingerprint(k.value)} for k in self.keys]
        own = {"auth": self.auth, "how": self.how, "keys": found}
        return {**own, **({"other": self.other} if self.other else {})}


def warning(kind: str) -> str:
    """What is said before a key is renewed."""
    return (
        f"Whoever sends the {kind} key of now is refused from then on: all clients should use the"
        f" {_OTHER[kind]} one by now"
    )


def advice(kind: str) -> str:
    """What is said after it."""
    show = f"{program('keys')} --show {kind}"
    if kind == "secondary":
        after = f"when none uses the primary key any more, renew that: {program('keys')} --rotate"
        return f"Give clients the new secondary key ({show}); {after} primary"
    return f"Both keys may be given out again; the new primary one: {show}"
