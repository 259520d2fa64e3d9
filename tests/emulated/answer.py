"""Run by an emulated interpreter: asks model directories and prints the answers.

answer.py FILE    JSON of {model directory: [payload, ...]}; prints {model directory: [answer, ...]}
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from onnxferry import scoring


def answers(questions: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The parsed answer to each payload; an error's answer is its body."""
    return {folder: _ask(scoring.load(folder), asked) for folder, asked in questions.items()}


def _ask(scorer: scoring.Scorer, payloads: list[Any]) -> list[Any]:
    requests = [scoring.Request(json.dumps(payload).encode()) for payload in payloads]
    return [json.loads(scorer.handle(request).body) for request in requests]


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    json.dump(answers(asked), sys.stdout)
