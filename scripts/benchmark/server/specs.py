"""Which server: a URL of one that runs, or one that is started anew for each round.

    http://127.0.0.1:8080                             it runs, and is asked as onnxferry's own
    oip:model=my-model@http://127.0.0.1:8000          it runs, and is asked by this protocol
    onnxferry:workers=2@build/models/my-model         onnxferry serve ... --workers=2
    litserve:name=batched,BATCH=32@build/models/m     of --peers; capitals: its environment

A YAML file of --peers tells of each kind of server:

    litserve:
      command: [$PEERS/litserve/bin/python, litserve_app.py, $FOLDER, $PORT]
      protocol: onnxferry
      budget: "processes: $WORKERS; threads a run: $THREADS; texts a run: up to $BATCH"
      environment: {WORKERS: 1, THREADS: 2, BATCH: 32}

Words that begin with $ are of its environment and ours. It runs in the file's folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.benchmark.server.protocols import PROTOCOLS, Protocol
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_text

FORM = "a URL, PROTOCOL@URL or KIND@FOLDER"
OWN = ("name", "model", "protocol", "path")  # options that are not the server's


@dataclass(frozen=True)
class ServerKind:
    """How servers of a kind are started, in `folder`; `budget` says what they may use."""

    command: tuple[str, ...]
    protocol: str = "onnxferry"
    budget: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()


ONNXFERRY = ServerKind(
    (sys.executable, "-m", "onnxferry", "serve", "$FOLDER", "--port", "$PORT"),
    budget="threads of all runs: all cores; texts a run: those that wait",
)


@dataclass(frozen=True)
class ServerSpec:
    """One server of the comparison. It has `kind` and `place`, a folder, where it is started, and
    `place`, a URL, where it runs. `flags` go to its command."""

    name: str
    place: str
    protocol: Protocol
    model: str = "model"
    kind: ServerKind | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def budget(self) -> str:
        """What it may use, in words."""
        if self.kind is None:
            return "as it runs"
        words = Template(self.kind.budget).safe_substitute(self.environment)
        own = set(self.environment) - set(self.kind.environment)
        more = [f"{name}={self.environment[name]}" for name in sorted(own)]
        return ", ".join(filter(None, [words, *self.flags, *more]))

    def command(self, port: int) -> list[str]:
        """What starts it. Raises UsageError for a word that nothing tells."""
        assert self.kind  # noqa: S101
        folder = str(Path(self.place).resolve())
        known = {**os.environ, **self.environment, "FOLDER": folder, "PORT": str(port)}
        try:
            return [*(Template(w).substitute(known) for w in self.kind.command), *self.flags]
        except KeyError as e:
            raise UsageError(f"--server {self.name}: its command needs {e.args[0]}=VALUE") from e


def kinds(peers: Path | None) -> dict[str, ServerKind]:
    """The kinds of servers that can be started. Raises UsageError."""
    found = {"onnxferry": ONNXFERRY}
    if peers is None:
        return found
    try:
        told = yaml.safe_load(read_text(peers, "--peers "))
        return found | {name: _told(peers.parent, **table) for name, table in told.items()}
    except (yaml.YAMLError, AttributeError, TypeError) as e:
        known = "command (a list), protocol, budget and environment"
        raise UsageError(f"--peers {peers}: expected kinds with {known}: {e}") from e


def _told(
    folder: Path,
    command: Sequence[object],
    protocol: str = "onnxferry",
    budget: str = "",
    environment: Mapping[str, object] | None = None,
) -> ServerKind:
    variables = {key: str(value) for key, value in (environment or {}).items()}
    return ServerKind(tuple(map(str, command)), protocol, budget, variables, folder)


def parse(texts: Sequence[str], known: Mapping[str, ServerKind]) -> list[ServerSpec]:
    """The servers of several --server. Raises UsageError."""
    found = [_parse(text, known) for text in texts]
    names = [spec.name for spec in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--server: two are called {twice}; name them: KIND:name=NAME@FOLDER")
    return found


def _parse(text: str, known: Mapping[str, ServerKind]) -> ServerSpec:
    before, at, place = text.partition("@") if not _is_url(text) else ("onnxferry", "@", text)
    word, _, given = before.partition(":")
    if not at or not place:
        raise UsageError(f"--server {text}: expected {FORM}")
    options = dict(_option(text, part) for part in given.split(",") if part)
    kind = None if _is_url(place) else _kind(text, word, Path(place), known)
    protocol = _protocol(text, options.pop("protocol", kind.protocol if kind else word))
    capitals = {key: options.pop(key) for key in list(options) if key.isupper()}
    own = {key: options.pop(key) for key in OWN if key in options}
    return ServerSpec(
        own.get("name", place if kind is None else before),
        place,
        Protocol(own.get("path", protocol.path), protocol.body),
        own.get("model", "model"),
        kind,
        {**(kind.environment if kind else {}), **capitals},
        tuple(f"--{key}={value}" for key, value in options.items()),
    )


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _option(text: str, part: str) -> tuple[str, str]:
    key, sign, value = part.partition("=")
    if not sign or not key or not value:
        raise UsageError(f"--server {text}: expected OPTION=VALUE, got '{part}'")
    return key, value


def _kind(text: str, word: str, folder: Path, known: Mapping[str, ServerKind]) -> ServerKind:
    if word not in known:
        raise UsageError(f"--server {text}: expected {FORM}, where KIND is {', '.join(known)}")
    if not folder.is_dir():
        raise UsageError(f"--server {text}: no folder {folder}")
    return known[word]


def _protocol(text: str, name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise UsageError(f"--server {text}: protocol {name}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
