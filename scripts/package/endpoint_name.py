"""The name of a model's endpoint, on every cloud, where the user gives none."""

from __future__ import annotations

import re


def endpoint_name(model: str) -> str:
    """3 to 32 letters, digits and hyphens, a letter first and no hyphen last."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")
    if len(name) < 3 or not name[0].isalpha():
        name = f"onnx-{name}"
    return name[:32].rstrip("-")
