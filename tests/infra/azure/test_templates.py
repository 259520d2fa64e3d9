"""The templates that are in the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.infra.templates.azure.examples import texts


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_the_committed_templates_are_what_the_code_makes(path: Path) -> None:
    made = texts()[path]
    again = "make it again: .venv/bin/python -m onnxferry.infra.templates.azure"
    assert path.read_text(encoding="utf-8") == made, again
