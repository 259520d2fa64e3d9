"""A plan out of the JSON that `plan --output json` writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxferry.infra.plan import Action, Plan, Step, Summary


def plan_of(text: str) -> Plan:
    """What `Plan.to_json` wrote."""
    data = json.loads(text)
    minutes = data["summary"]["minutes"]
    lists = {"minutes": tuple(minutes) if minutes else None}
    lists["notes"] = tuple(data["summary"]["notes"])
    summary = Summary(**{**data["summary"], **lists})
    return Plan(**{**data, "steps": tuple(map(_step, data["steps"])), "summary": summary})


def _step(data: Mapping[str, Any]) -> Step:
    others = {key: _step(data[key]) if data[key] else None for key in ("restore", "removal")}
    return Step(**{**data, **others, "action": Action(data["action"])})
