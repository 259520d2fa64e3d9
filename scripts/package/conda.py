"""conda.yaml and its like: a Python, and all that pip would bring in, pinned."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.scripts.package import pins


def environment(roots: Iterable[str], python: str, before: Path | None = None) -> dict[str, Any]:
    """The conda environment of `roots` and every distribution that they bring in."""
    return {
        "name": "onnxferry",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements(roots, python, before)}],
    }


def requirements(roots: Iterable[str], python: str, before: Path | None = None) -> list[str]:
    """The exact pins of `roots` and every distribution that they bring in, as pins.select."""
    return pins.select(pins.with_closure(roots), python, before)


def to_yaml(data: dict[str, Any]) -> bytes:
    """The text of a YAML file, in the order of `data`."""
    text: str = yaml.safe_dump(data, sort_keys=False, width=120)
    return text.encode()
