"""What ONNX Runtime may use of a host, chosen for its CPUs, and how a deployment overrides it.

One run on all CPUs answers one text soonest; many small runs are done soonest on one CPU each.
Threads that spin for a moment before they sleep allow both. On two CPUs, DistilBERT in int8, a run
alone and each of two parallel runs took milliseconds:

spinning          10 tokens    176 tokens
10 us             2.9  2.8     26.8  28.1
never             3.4  2.7     28.0  28.2
always            3.0  3.2     26.9  28.6 (quiet machine; half as fast on a busy one)
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
    """`engine` of model_spec.json; ONNXFERRY_ENGINE_* variables override each.

    threads           of one run; 0: as many as cpu.available()
    parallel_runs     of one request that needs several; 0: as many as threads
    spin_duration_us  microseconds that an idle thread spins before it sleeps: it starts sooner and
                      keeps its CPU busy; before onnxruntime 1.26 always (from 1000) or never
    arena             a run's memory is kept for the next, not given back to the system
    prepack           weights are copied into the order that the kernels read fastest; without, all
                      processes of a host share a weight file beside model.onnx, somewhat slower

    `runs` and `spinning`, the former names of two, are still read.
    """

    threads: int = 0
    parallel_runs: int = 0
    spin_duration_us: int = 10
    arena: bool = True
    prepack: bool = True

    @staticmethod
    def read(data: Mapping[str, Any]) -> EngineOptions:
        """From model_spec.json. Raises ValueError that names the key and what it should hold."""
        types: dict[str, type] = {f.name: type(f.default) for f in fields(EngineOptions)}
        if unknown := sorted(set(data) - set(types) - set(_OLD_NAMES)):
            raise ValueError(
                f"engine has unknown key(s) {', '.join(unknown)}; known: {', '.join(types)}"
            )
        for key, value in data.items():
            expected = types[_OLD_NAMES.get(key, key)]
            right = type(value) is expected
            if not right or value < 0:
                holds = "true or false" if expected is bool else "an integer of at least 0"
                raise ValueError(f"engine.{key} must be {holds}, got {value!r}")
        return EngineOptions(**{_OLD_NAMES.get(key, key): value for key, value in data.items()})

    def overridden(self, environment: Mapping[str, str]) -> EngineOptions:
        """These, but for those that ONNXFERRY_ENGINE_* variables of `environment` set. Raises
        ModelError that names a variable that is unknown, or whose value does not fit."""
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
        """These with numbers for what is left to the host."""
        threads = self.threads or cpu.available()
        return replace(self, threads=threads, parallel_runs=self.parallel_runs or threads)


def variables() -> dict[str, str]:
    """The name of the option that each environment variable sets."""
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
