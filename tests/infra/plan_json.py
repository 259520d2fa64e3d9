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
    summary = Summary(**{**data["summary"], "minutes": tuple(minutes) if minutes else None})
    return Plan(**{**data, "steps": tuple(map(_step, data["steps"])), "summary": summary})


def _step(data: Mapping[str, Any]) -> Step:
    restore = _step(data["restore"]) if data["restore"] else None
    return Step(**{**data, "action": Action(data["action"]), "restore": restore})
