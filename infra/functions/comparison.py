"""Settings as nested data: where what is found differs from what is said, and the one laid over the
other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differs(desired: Any, found: Any) -> bool:
    """Whether a value that `desired` sets is another in `found`; None means that there is none."""
    if isinstance(desired, Mapping):
        return not isinstance(found, Mapping) or any(
            differs(value, found.get(key)) for key, value in desired.items()
        )
    if isinstance(desired, list):
        if not isinstance(found, list) or len(found) != len(desired):
            return True
        return any(map(differs, desired, found))
    if desired is None:
        return bool(found)
    return str(desired).rstrip("/").lower() != str(found).rstrip("/").lower()


def merged(found: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with what `desired` says: what a user set beside, such as instances that are always
    ready, stays. What shall be None is left out, which gives it back to the platform."""
    both = {
        key: merged(found.get(key) or {}, value)
        for key, value in desired.items()
        if isinstance(value, Mapping)
    }
    return {key: v for key, v in {**found, **desired, **both}.items() if v is not None}
