"""What ONNX Runtime may use of a host, chosen for its CPUs, and how a deployment overrides it.

One run on all CPUs answers one text soonest; many small runs are done soonest on one CPU each.
engine.Session does both, by what runs at the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from onnxferry.scoring import cpu
from onnxferry.scoring.errors import ModelError

PREFIX = "ONNXFERRY_ENGINE_"
_OLD_NAMES = {"runs": "parallel_runs", "spinning": "spin_duration_us"}
_FLAGS = {"0": False, "false": False, "1": True, "true": True}


@dataclass(frozen=True)
class EngineOptions:
    """`engine` of model_spec.json; ONNXFERRY_ENGINE_* variables override each."""

    threads: int = 0  # of one run; 0: as many as cpu.available(), or a process's part of them
    processes: int = 1  # like this one on the host, which share its CPUs
    parallel_runs: int = 0  # at a time; 0: as many as threads
    shared_runs: bool = True  # texts of requests at the same time go through the model together
    spin_duration_us: int = 50  # of threads that a run does not need at the moment
    spin_between_runs: bool = False  # so long after a run too, on CPUs that nothing else needs
    arena: bool = True  # a run's memory is kept for the next
    prepack: bool = True  # copy weights into the kernels' order; else processes may share a file

    @staticmethod
    def read(data: Mapping[str, Any]) -> EngineOptions:
        """From model_spec.json. Raises ValueError that names the key."""
        types: dict[str, type] = {f.name: type(f.default) for f in fields(EngineOptions)}
        if unknown := ", ".join(sorted(set(data) - set(types) - set(_OLD_NAMES))):
            raise ValueError(f"engine has unknown key(s) {unknown}; known: {', '.join(types)}")
        for key, value in data.items():
            expected = types[_OLD_NAMES.get(key, key)]
            right = type(value) is expected
            if not right or value < 0:
                holds = "true or false" if expected is bool else "an integer of at least 0"
                raise ValueError(f"engine.{key} must be {holds}, got {value!r}")
        return EngineOptions(**{_OLD_NAMES.get(key, key): value for key, value in data.items()})

    def overridden(self, environment: Mapping[str, str]) -> EngineOptions:
        """With ONNXFERRY_ENGINE_* variables. Raises ModelError that names the wrong one."""
        known = variables()
        if unknown := sorted(n for n in environment if n.startswith(PREFIX) and n not in known):
            raise ModelError(f"{unknown[0]} sets nothing of the engine; known: {', '.join(known)}")
        values: dict[str, Any] = {
            option: _value(name, environment[name].strip(), type(getattr(self, option)))
            for name, option in reversed(known.items())  # the newer of two names counts
            if name in environment
        }
        return replace(self, **values)

    def resolved(self) -> EngineOptions:
        """With numbers for what is left to the host."""
        threads = self.threads or max(1, cpu.available() // max(1, self.processes))
        return replace(self, threads=threads, parallel_runs=self.parallel_runs or threads)


def variables() -> dict[str, str]:
    """The option that each environment variable sets."""
    names = {**{f.name: f.name for f in fields(EngineOptions)}, **_OLD_NAMES}
    return {PREFIX + name.upper(): option for name, option in names.items()}


def _value(name: str, text: str, kind: type) -> int | bool:
    if kind is bool:
        if text.lower() not in _FLAGS:
            raise ModelError(f"{name} must be 0 or 1, got '{text[:40]}'")
        return _FLAGS[text.lower()]
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ModelError(f"{name} must be an integer from 0 to 999999, got '{text[:40]}'")
    return int(text)
