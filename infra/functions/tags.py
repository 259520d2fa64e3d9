"""Tags from deploy.toml on what was made before: which change, and which go since they left it.

A tag of ours keeps their names, so that a tag of somebody else's is never taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.functions.names import GIVEN

_LONGEST = 256  # characters of a tag's value: names beyond are not remembered, and stay


def given_tags(given: Mapping[str, str]) -> dict[str, str]:
    """The tags `given` in deploy.toml, and the one that keeps their names, which have no slash."""
    names = "/".join(sorted(given))
    kept = names if len(names) <= _LONGEST else names[:_LONGEST].rpartition("/")[0]
    return {**given, GIVEN: kept} if given else {}


def tag_changes(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    """Which of the tags `found` to set and to remove, with their values; {} where all are as
    `given`. A tag's name counts in any case."""
    wanted, now = given_tags(given), {name.lower(): name for name in found}
    set_ = {k: v for k, v in wanted.items() if found.get(now.get(k.lower(), "")) != v}
    ours = found.get(GIVEN, "").lower().split("/")
    keep = {name.lower() for name in wanted}
    gone = [name for name in (*ours, GIVEN) if name in now and name not in keep]
    remove = {now[name]: found[now[name]] for name in gone}
    return {key: value for key, value in (("set", set_), ("remove", remove)) if value}
