"""A host with fewer CPUs than its model's engine options were tuned on is told so: the options may
be slower there than the defaults."""

from __future__ import annotations

import logging

from onnxferry.scoring.manifest import ModelSpec

_log = logging.getLogger("scoring")


def warn_of_fewer_cpus(spec: ModelSpec, available: int) -> None:
    """One warning, where `tuned` in the spec's provenance tells of more CPUs than are available and
    an option that it set is in effect. Whatever else stands there is passed over."""
    tuned = spec.provenance.get("tuned")
    if not isinstance(tuned, dict) or not isinstance(tuned.get("on"), dict):
        return
    cpus, options = tuned["on"].get("cores"), tuned.get("options")
    if not isinstance(cpus, int) or cpus <= available or not isinstance(options, dict):
        return
    used = {name: value for name, value in options.items() if _used(spec, name, value)}
    if used:
        listed = ", ".join(f"{name}={value}" for name, value in used.items())
        made = f"model {spec.name} was tuned on {cpus} CPUs (engine: {listed})"
        advice = "it may be slower than by default; tune it on such a host, or override the options"
        _log.warning("%s, and this host has %d: %s", made, available, advice)


def _used(spec: ModelSpec, name: str, value: object) -> bool:
    return getattr(spec.engine, name, None) == value
