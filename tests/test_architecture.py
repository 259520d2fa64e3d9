"""The map, held by the imports: which room may import which, and one door for each library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).parent.parent
ROOMS = {
    "scoring",
    "targets",
    "scripts",
    "infra",
    "onnxferry",
    "cli",
    "system",
    "examples",
    "tests",
}
OURS = {  # room -> the rooms that it may import
    "scoring": {"scoring"},
    "targets": {"scoring"},
    "targets/__init__.py": set(),
    "onnxferry/system": {"system"},
    "scripts": {"scripts", "scoring", "system", "targets"},
    "infra": {"infra", "scripts", "scoring", "system", "targets"},
    "onnxferry/cli.py": {"system"},
    "deploy.py": {"cli"},
    "examples": {"examples", "scripts", "scoring", "system", "targets"},
}
THEIRS = {  # room -> the libraries that it may import; other rooms: any
    "scoring": {"numpy", "onnxruntime", "tokenizers", "PIL"},
    "targets/__init__.py": set(),
    # the server is a Flask application
    "targets/azureml": {"azureml_inference_server_http", "flask"},
    "targets/local": {"fastapi", "starlette", "uvicorn"},
    "targets/sagemaker": set(),
    "targets/functions": {"azure"},
}
DOORS = {  # library -> the one file of its room that imports it
    "onnxruntime": "scoring/engine.py",
    "tokenizers": "scoring/tokenization.py",
    "PIL": "scoring/images.py",
}
SDKS = {  # the clouds' libraries -> the one file of infra that imports each
    "boto3": "infra/clients/aws.py",
    "azure.identity": "infra/clients/azure.py",
    "azure.ai.ml": "infra/clients/azureml.py",
    "azure.mgmt.resource": "infra/clients/groups.py",
    "azure.mgmt.storage": "infra/clients/storage.py",
    "azure.storage.blob": "infra/clients/blobs.py",
    "azure.mgmt.authorization": "infra/clients/roles.py",
    "azure.mgmt.web": "infra/clients/web.py",
}


def modules(path: Path) -> Iterator[str]:
    """The full names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def imports(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, anywhere in it; of this project, the rooms."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (_room(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides which room it reaches"
            if node.module == "onnxferry":
                yield from (alias.name for alias in node.names)
            else:
                yield _room(node.module or "")


def _room(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "onnxferry" and rest else first


def files(room: str) -> list[Path]:
    path = ROOT / room
    return [path] if path.suffix else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("room", OURS)
def test_arrows_point_one_way(room: str) -> None:
    assert files(room)
    for path in files(room):
        assert set(imports(path)) & ROOMS <= OURS[room], path


@pytest.mark.parametrize("room", THEIRS)
def test_a_host_loads_only_what_scoring_needs(room: str) -> None:
    for path in files(room):
        foreign = set(imports(path)) - ROOMS - sys.stdlib_module_names
        assert foreign <= THEIRS[room], path


@pytest.mark.parametrize("library", DOORS)
def test_one_door_for_each_library(library: str) -> None:
    users = [p.relative_to(ROOT).as_posix() for p in files("scoring") if library in imports(p)]
    assert users == [DOORS[library]]


@pytest.mark.parametrize("sdk", SDKS)
def test_one_door_for_each_cloud_service(sdk: str) -> None:
    inside = [
        p.relative_to(ROOT).as_posix()
        for p in files("infra")
        if any(f"{name}.".startswith(f"{sdk}.") for name in modules(p))
    ]
    assert inside == [SDKS[sdk]]


def test_only_what_reads_and_rewrites_graphs_imports_onnx() -> None:
    users = {
        path.relative_to(ROOT / "scripts").parts[:2]
        for path in files("scripts")
        if "onnx" in imports(path)
    }
    assert users == {("prepare", "onnx_file_io.py"), ("prepare", "variants")}


def test_only_doors_know_the_clouds_libraries() -> None:
    for path in files("infra"):
        foreign = {"azure", "boto3", "botocore", "sagemaker"} & set(imports(path))
        assert not foreign or path.parent == ROOT / "infra" / "clients", path


@pytest.mark.parametrize(
    ("make", "loads"), [(tiny.image_classification, "PIL"), (tiny.question_answering, "tokenizers")]
)
def test_a_host_loads_its_own_tasks_library_and_no_other(
    tmp_path: Path, make: Callable[[Path], Path], loads: str
) -> None:
    """Packages leave out what their task does not need, so nothing else may be imported."""
    code = (
        "import sys; from onnxferry import scoring; scorer = scoring.load(sys.argv[1]);"
        " scorer.handle(scoring.Request(b'', 'image/png'));print(*({'torch', 'transformers',"
        " 'optimum', 'onnx', 'PIL', 'tokenizers'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code, str(make(tmp_path))]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [loads]
