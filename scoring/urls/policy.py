"""What a host may fetch: nothing, unless its environment (ONNXFERRY_URLS_*) allows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from onnxferry.scoring.errors import ModelError

PREFIX = "ONNXFERRY_URLS_"
ALLOW, HOSTS = f"{PREFIX}ALLOW", f"{PREFIX}HOSTS"
PORTS = {"https": 443, "http": 80}
_FLAGS = {"0": False, "false": False, "1": True, "true": True}
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})+(:[1-9][0-9]{{0,4}})?", re.IGNORECASE)
_MOST = {"seconds": 300, "bytes": 100_000_000, "redirects": 10, "pictures": 1000}


@dataclass(frozen=True)
class Policy:
    """`seconds`, `bytes` and `pictures` are of one request, whose pictures share them; `redirects`
    are of one picture."""

    allow: bool = False
    hosts: tuple[str, ...] = ()  # a.example, *.b.example (not b.example), c.example:8443; (): any
    http: bool = False  # besides https
    seconds: float = 10  # from the look-up of a name to the last byte, whatever is slow
    bytes: int = 10_000_000
    redirects: int = 3
    pictures: int = 8

    @staticmethod
    def read(environment: Mapping[str, str]) -> Policy:
        """Of ONNXFERRY_URLS_* variables. Raises ModelError that names the wrong one."""
        known = {PREFIX + f.name.upper(): f.name for f in fields(Policy)}
        values: dict[str, Any] = {}
        for name in (name for name in environment if name.startswith(PREFIX)):
            if name not in known:
                raise ModelError(f"{name} sets nothing of URLs; known: {', '.join(known)}")
            values[known[name]] = _value(name, known[name], environment[name].strip())
        return Policy(**values)

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether `hosts` have the host with the port; without a port it is the scheme's."""
        usual = PORTS[scheme]
        if not self.hosts:
            return port == usual
        return any(_covers(*_parted(entry, usual), host, port) for entry in self.hosts)


def _parted(entry: str, usual: int) -> tuple[str, int]:
    name, _, port = entry.partition(":")
    return name, int(port or usual)


def _covers(name: str, its_port: int, host: str, port: int) -> bool:
    fits = host.endswith(name[1:]) if name.startswith("*.") else host == name
    return fits and port == its_port


def _value(name: str, key: str, text: str) -> Any:
    if key in ("allow", "http"):
        if text.lower() not in _FLAGS:
            raise ModelError(f"{name} must be true or false, got '{text[:40]}'")
        return _FLAGS[text.lower()]
    if key == "hosts":
        return hosts(text, name)
    least = 0 if key == "redirects" else 1
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= _MOST[key]:
        expected = f"an integer from {least} to {_MOST[key]}"
        raise ModelError(f"{name} must be {expected}, got '{text[:40]}'")
    return int(text)


def hosts(text: str, where: str) -> tuple[str, ...]:
    """The hosts of a list with commas, in lower case. Raises ModelError that names `where`."""
    entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    for entry in entries:
        port, last = entry.partition(":")[2], entry.partition(":")[0].rpartition(".")[2]
        if not _HOST.fullmatch(entry) or int(port or 1) > 65535 or last.isdigit():
            forms = "a.example, *.b.example or c.example:8443, a name that is not ASCII as xn--..."
            raise ModelError(f"{where} must list hosts like {forms}; got '{entry[:80]}'")
    return tuple(entries)
