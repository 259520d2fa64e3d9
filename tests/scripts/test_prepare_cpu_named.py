"""No test leans on the machine that runs it: none asks `prepare` for int8 that is made for this
machine's kind of CPU. What is made for a kind that is named, or by default for any, is the same
everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
HERE = ("here", "HERE", "auto", "AUTO")  # this machine's kind: as text, and by its constant


def leaning(code: str) -> Iterator[int]:
    """The lines of `code` that ask for this machine's kind, in a call's keywords or a command
    line."""
    for node in ast.walk(ast.parse(code)):
        if any(_text(value) in HERE for value in _asked(node)):
            yield node.lineno  # type: ignore[attr-defined]


def _asked(node: ast.AST) -> list[ast.expr]:
    """What a call, a command line or a dictionary gives as the CPU kind."""
    if isinstance(node, ast.Call):
        return [keyword.value for keyword in node.keywords if keyword.arg == "cpu"]
    if isinstance(node, ast.List | ast.Tuple):
        pairs = zip(node.elts, node.elts[1:], strict=False)
        return [value for word, value in pairs if _text(word) == "--cpu"]
    if isinstance(node, ast.Dict):
        items = zip(node.keys, node.values, strict=True)
        return [value for word, value in items if word and _text(word) == "cpu"]
    return []


def _text(value: ast.expr) -> object:
    """A text, or the last name of a constant such as options.HERE."""
    if isinstance(value, ast.Constant):
        return value.value
    return getattr(value, "attr", getattr(value, "id", None))


FILES = [
    path
    for path in sorted(TESTS.rglob("*.py"))
    if "scripts.prepare" in path.read_text(encoding="utf-8") and path != Path(__file__)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_prepared_for_the_cpu_that_is_here(path: Path) -> None:
    assert list(leaning(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("Options(source, out, variant=INT8, cpu='here')", [1]),
        ("replace(options, precision='int8', cpu=options.HERE)", [1]),
        ("wanted = {'variant': 'int8', 'cpu': 'auto'}", [1]),
        ("invoke(command, ['m', '--variant', 'int8', '--cpu', 'here'])", [1]),
        ("Options(source, out, variant=INT8)", []),
        ("Options(source, out, variant=INT8, cpu='avx2')", []),
        ("invoke(command, ['m', '--cpu', 'any'])", []),
    ],
)
def test_the_rule_finds_what_it_should(code: str, lines: list[int]) -> None:
    assert list(leaning(code)) == lines
