"""What ONNX Runtime may use of a host, chosen for its cores, and how a deployment overrides each
choice.

One run on all cores answers one text soonest; many small runs are done soonest one a core. Threads
that wait in a loop for moments only (`spinning`) and sleep after that allow both with one session.
Measured on two cores, a DistilBERT in int8, milliseconds of a run alone and of each of two in
flight: 10 tokens 2.9 and 2.8, 176 tokens 26.8 and 28.1; with threads that never wait in a loop 3.4
and 2.7, 28.0 and 28.2; with threads that always do 3.0 and 3.2, 26.9 and 28.6 on a quiet machine,
and half as fast on a busy one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from onnxferry.scoring import cpu_count
from onnxferry.scoring.errors import ModelError

PREFIX = "ONNXFERRY_ENGINE_"
_FLAGS = {"0": False, "false": False, "1": True, "true": True}


@dataclass(frozen=True)
class EngineOptions:
    """`engine` of model_spec.json; an environment variable ONNXFERRY_ENGINE_* of the deployment
    overrides each.

    threads   of one run; 0: the CPUs that the process may use, a container's limit respected
    runs      in flight for one request that needs several; 0: as many as threads
    spinning  microseconds that an idle thread waits in a loop before it sleeps: it is sooner back
    at work, at the price
              of the core it waits on. Before onnxruntime 1.26 less than 1000 is none, and more is
              for ever
    arena     memory that a run has used is kept for the next; without, it goes back to the system,
    which takes time
    prepack   weights are copied into the order that the kernels read best; without, a weight file
    beside model.onnx is
              used where it lies, one copy for all processes of a host, at a few percent of the
              speed
    """

    threads: int = 0
    runs: int = 0
    spinning: int = 10
    arena: bool = True
    prepack: bool = True

    @staticmethod
    def read(data: Mapping[str, Any]) -> EngineOptions:
        """From model_spec.json. Raises ValueError that names the key and what it should hold."""
        kinds: dict[str, type] = {f.name: type(f.default) for f in fields(EngineOptions)}
        if unknown := sorted(set(data) - set(kinds)):
            raise ValueError(
                f"engine has unknown key(s) {', '.join(unknown)}; known: {', '.join(kinds)}"
            )
        for name, value in data.items():
            right = type(value) is kinds[name]
            if not right or value < 0:
                wanted = "true or false" if kinds[name] is bool else "an integer of at least 0"
                raise ValueError(f"engine.{name} must be {wanted}, got {value!r}")
        return EngineOptions(**data)

    def overridden(self, environment: Mapping[str, str]) -> EngineOptions:
        """These, but for those that ONNXFERRY_ENGINE_* variables of `environment` set.

        Raises ModelError that names the variable that is unknown, or whose value is none.
        """
        known = {PREFIX + f.name.upper(): f for f in fields(self)}
        given = {
            name: value.strip() for name, value in environment.items() if name.startswith(PREFIX)
        }
        if unknown := sorted(set(given) - set(known)):
            raise ModelError(f"{unknown[0]} sets nothing of the engine; known: {', '.join(known)}")
        read: dict[str, Any] = {
            known[n].name: _value(n, text, type(known[n].default)) for n, text in given.items()
        }
        return replace(self, **read)

    def resolved(self) -> EngineOptions:
        """These with numbers for what is left to the host."""
        threads = self.threads or cpu_count.available()
        return replace(self, threads=threads, runs=self.runs or threads)


def _value(name: str, text: str, kind: type) -> int | bool:
    if kind is bool:
        if text.lower() not in _FLAGS:
            raise ModelError(f"{name} must be 0 or 1, got '{text[:40]}'")
        return _FLAGS[text.lower()]
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ModelError(f"{name} must be an integer from 0 to 999999, got '{text[:40]}'")
    return int(text)
