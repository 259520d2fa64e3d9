"""Which keys of deploy.toml set on an app what goes back to the platform's default when they leave.

A tag of the app keeps their names, some with a mark of what they set, so that what a user has set
there instead is never taken away: "always_ready auth:entra subnet:1a2b3c4d".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

ALWAYS_READY, AUTH, SUBNET, IDENTITY = "always_ready", "auth", "subnet", "identity"
ENTRA, ANONYMOUS = "entra", "anonymous"  # after AUTH; without it, a function key opens


def text(keys: Mapping[str, str]) -> str:
    """The tag's value for keys and their marks, which may be ""."""
    return " ".join(f"{key}:{mark}" if mark else key for key, mark in sorted(keys.items()))


def read(tag: str) -> dict[str, str]:
    """The keys and marks in a tag's value."""
    return {key: mark for key, _, mark in (word.partition(":") for word in tag.split())}


def mark(id_: str) -> str:
    """8 digits that stand for the id of a resource, since a tag's value has 256 characters."""
    return hashlib.sha256(id_.lower().encode()).hexdigest()[:8]
