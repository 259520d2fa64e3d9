"""prepare's rooms are in the order of the flow: a room imports itself and those before it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import onnxferry.scripts.prepare as package

ROOT = Path(package.__file__).parent
NAME = "onnxferry.scripts.prepare"
ROOMS = ("sources", "variants", "verification", "selection", "report", "cache")
# what every room may import
FIRST = ("hub_id", "options", "onnx_file_io", "disk_space", "model_directory")
# what no room may import
LAST = (
    "staging",
    "estimate",
    "asked",
    "pipeline",
    "dry_run",
    "test_run",
    "from_table",
    "__init__",
    "__main__",
)
MODULES = [path.relative_to(ROOT).with_suffix("") for path in sorted(ROOT.rglob("*.py"))]


def imported(module: Path) -> Iterator[Path]:
    """The modules of prepare that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / module).with_suffix(".py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{NAME}."):
            place = Path(*str(node.module).split(".")[3:])
            for name in [place, *(place / alias.name for alias in node.names)]:
                if (ROOT / name).with_suffix(".py").is_file():
                    yield name


def position(module: Path) -> int:
    """Where in the order a module is."""
    name = module.parts[0]
    if name in ROOMS:
        return ROOMS.index(name)
    return -1 if name in FIRST else len(ROOMS)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_no_later_room(module: Path) -> None:
    assert [str(m) for m in imported(module) if position(m) > position(module)] == []


def test_no_modules_import_each_other() -> None:
    graph = {module: set(imported(module)) for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)
    assert sum(map(len, graph.values())) > 100


def test_few_modules_are_in_no_room() -> None:
    alone = {module.name for module in MODULES if len(module.parts) == 1}
    assert alone == {*FIRST, *LAST}
