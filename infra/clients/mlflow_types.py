"""What the door to MLflow gives: its entities as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

READY = "READY"  # the state of what is whole


@dataclass(frozen=True)
class Experiment:
    """Where models are logged."""

    id: str
    name: str


@dataclass(frozen=True)
class Logged:
    """A model's files on the tracking server: `kind` is "logged model" in MLflow 3, "run" before.
    `location` is where the files are, the source of versions that are made of it."""

    kind: str
    id: str
    location: str
    ready: bool
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `number` is MLflow's own count, as text."""

    number: str
    source: str
    state: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Registered:
    """A registered model: `aliases` say which version each is on; `created` is the server's time in
    seconds."""

    name: str
    description: str
    tags: Mapping[str, str]
    created: float
    aliases: Mapping[str, str] = field(default_factory=dict)
