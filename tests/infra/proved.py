"""A tiny model that can prove its deployment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from onnxferry import scoring
from onnxferry.scoring.manifest import Golden, ModelSpec
from tests import tiny


def prove(folder: Path) -> None:
    """Give a model directory its golden request and answer."""
    request = tiny.golden({"inputs": tiny.QUESTION}, None).request
    answer = json.loads(scoring.load(folder).handle(request).body)
    tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=Golden(request, answer)))
