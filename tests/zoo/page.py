"""docs/models.md from the outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.zoo.compare import Outcome
from tests.zoo.pairs import Pair


def read(work: Path, pairs: Sequence[Pair]) -> list[Outcome]:
    """The outcomes kept below `work`."""
    found = (sorted(work.glob(f"*/{pair.name}/outcome-*.json")) for pair in pairs)
    return [Outcome(**json.loads(path.read_text())) for paths in found for path in paths]


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    raise NotImplementedError
