"""A cold start by phase, of what hosts print."""

from __future__ import annotations

import pytest

from onnxferry.scripts.rehearse.phases import StartPhases

LINE = (
    '{"event": "loaded", "model": "m", "task": "tensors", "ms":'
    ' {"imports": 310.5, "session": 100.0, "task": 20.0}}'
)
OTHER = LINE.replace("310.5", "5.0")


@pytest.mark.parametrize(
    "log",
    [
        LINE,
        f"routes: /api/score\n{LINE}\n",
        f"2026-01-01 INFO scoring - {LINE} [pid 7]\n",
        f"{LINE}\n{OTHER}\n",
        f"{OTHER[:40]} cut off\n{LINE}\n",
    ],
)
def test_the_first_models_line_is_found(log: str) -> None:
    found = StartPhases.of(1.0, 0.5, log)
    assert (found.healthy, found.imports, found.first_answer) == (1.0, 0.3105, 0.5)
    assert found.model == pytest.approx(0.12)


@pytest.mark.parametrize("log", ["", '{"id": "1", "ms": {"engine": 3.0}}', '"event": "loaded"'])
def test_a_host_that_does_not_tell(log: str) -> None:
    phases = StartPhases.of(1.0, 0.5, log)
    assert (phases.imports, phases.model) == (None, None)
    assert phases.text() == "healthy 1.00 s, first answer 0.50 s"


def test_in_words() -> None:
    text = StartPhases.of(1.0, 0.5, LINE).text()
    assert text == "healthy 1.00 s, imports 0.31 s, model 0.12 s, first answer 0.50 s"
