"""Every process of a test run must collect the same tests: pytest-xdist refuses a run otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = sorted(HERE.rglob("test_*.py"))
CHANGING = ("time.", "uuid.", "random.", "os.getpid", "datetime.")


def changing(source: str) -> Iterator[str]:
    """Calls in a decorator's arguments whose value is another one in each process; gzip writes the
    time, unless it is told another."""
    for function in ast.walk(ast.parse(source)):
        for decorator in getattr(function, "decorator_list", []):
            for call in (n for n in ast.walk(decorator) if isinstance(n, ast.Call)):
                name = ast.unparse(call.func)
                told = any(keyword.arg == "mtime" for keyword in call.keywords)
                if name.startswith(CHANGING) or (name == "gzip.compress" and not told):
                    yield ast.unparse(call)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(HERE)))
def test_parameters_are_the_same_in_every_process(file: Path) -> None:
    assert [*changing(file.read_text(encoding="utf-8"))] == []


def test_a_parameter_that_holds_the_time_would_be_found() -> None:
    text = (
        "@mark.parametrize('x', [gzip.compress(b'a'), gzip.compress(b'a', mtime=0), time.time()])"
    )
    found = [*changing(f"{text}\ndef test_x(x): ...")]
    assert found == ["gzip.compress(b'a')", "time.time()"]
