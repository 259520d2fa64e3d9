"""The inputs that ship with onnxferry: request bodies as JSON Lines, one file a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnxferry.scripts.datasets.readers import lines

BUILT_IN = Path(__file__).parent / "inputs"
MASK = "[MASK]"  # the mask token as fill-mask.jsonl writes it


def tasks() -> list[str]:
    """The tasks that have built-in inputs."""
    return sorted(path.stem for path in BUILT_IN.glob("*.jsonl"))


def payloads(task: str) -> list[dict[str, Any]]:
    """The request bodies of `task`, parsed; none for a task without built-in inputs."""
    path = BUILT_IN / f"{task}.jsonl"
    return list(map(json.loads, lines(path))) if path.is_file() else []
