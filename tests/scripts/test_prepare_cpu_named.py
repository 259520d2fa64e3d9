"""No test leans on the machine that runs it: a test that asks `prepare` for a variant or for int8
names the CPU kind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXACT = ("fp32", "fp32-copy")  # the same on every kind of CPU


def unnamed(code: str) -> Iterator[int]:
    """The lines of `code` that ask for a variant, or a precision, that depends on the CPU, in a
    call's keywords or a command line, and name no kind."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            asked = [given[name] for name in ("variant", "precision") if name in given]
            named = "cpu" in given
        elif isinstance(node, ast.List | ast.Tuple):
            words = [e.value if isinstance(e, ast.Constant) else None for e in node.elts]
            flags = {"--variant", "--precision"}
            pairs = zip(words[:-1], node.elts[1:], strict=True)
            asked = [value for word, value in pairs if word in flags]
            named = "--cpu" in words or any(isinstance(e, ast.Starred) for e in node.elts)
        else:
            continue
        if not named and any(_depends(value) for value in asked):
            yield node.lineno


def _depends(value: ast.expr) -> bool:
    return not (isinstance(value, ast.Constant) and value.value in EXACT)


FILES = [
    path
    for path in sorted(TESTS.rglob("test_*.py"))
    if "scripts.prepare" in path.read_text(encoding="utf-8") and path != Path(__file__)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_who_asks_for_a_variant_names_the_cpu_kind(path: Path) -> None:
    assert list(unnamed(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("Options(source, out, variant=INT8)", [1]),
        ("Options(source, out, variant='int8-static')", [1]),
        ("replace(options, precision='int8')", [1]),
        ("invoke(command, ['m', '--variant', 'int8'])", [1]),
        ("Options(source, out, variant=INT8, cpu='avx2')", []),
        ("Options(source, out, variant='fp32')", []),
        ("invoke(command, ['m', '--variant', 'int8', '--cpu', 'avx2'])", []),
    ],
)
def test_the_rule_finds_what_it_should(code: str, lines: list[int]) -> None:
    assert list(unnamed(code)) == lines
