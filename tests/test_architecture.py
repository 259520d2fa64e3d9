"""The map, held by the imports: which room may import which, and one door for each library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
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
    "pipelines",
    "system",
    "examples",
    "tests",
}
PRODUCT = ("onnxferry", "infra", "scoring", "scripts", "targets")
OURS = {  # room -> the rooms that it may import
    "scoring": {"scoring"},
    "onnxferry/pipelines": {"pipelines", "scoring"},
    "targets": {"pipelines", "scoring", "targets"},
    **{f"targets/{n}": {"scoring"} for n in ("azureml", "mlflow", "sagemaker")},
    "targets/functions": {"scoring", "targets"},
    "targets/__init__.py": set(),
    "onnxferry/system": {"system"},
    "scripts": {"pipelines", "scripts", "scoring", "system", "targets"},
    "infra": {"infra", "scripts", "scoring", "system", "targets"},
    "onnxferry/cli.py": {"system"},
    "deploy.py": {"cli"},
    "examples": {"examples", "scripts", "scoring", "system", "targets"},
}
THEIRS = {  # room -> the libraries that it may import; other rooms: any
    "scoring": {"numpy", "onnxruntime", "tokenizers", "PIL", "urllib3"},
    "onnxferry/pipelines": {"numpy", "yaml"},  # a host loads them with the local server
    "targets/__init__.py": set(),
    # the server is a Flask application; Parquet in batch jobs
    "targets/azureml": {"azureml_inference_server_http", "flask", "pyarrow"},
    "targets/local": {
        "click",
        "fastapi",
        "numpy",  # binary tensors
        "opentelemetry",
        "prometheus_client",
        "pydantic",
        "starlette",
        "uvicorn",
        "yaml",
    },
    "targets/mlflow": {"mlflow", "pandas"},  # a pyfunc is given frames
    "targets/container": set(),
    "targets/sagemaker": set(),
    "targets/functions": {"azure"},
}
DOORS = {  # library -> the one file of its room that imports it
    "onnxruntime": "scoring/engine.py",
    "tokenizers": "scoring/tokenization.py",
    "PIL": "scoring/images.py",
    "urllib3": "scoring/urls/connection.py",
}
SDKS = {  # the clouds' libraries -> the one file of infra that imports each
    "boto3": "infra/clients/aws.py",
    "azure.identity": "infra/clients/azure.py",
    "azure.ai.ml": "infra/clients/azureml.py",
    "azure.mgmt.resource.resources": "infra/clients/azure_groups.py",
    "azure.mgmt.resource.deployments": "infra/clients/azure_deployments.py",
    "azure.mgmt.storage": "infra/clients/azure_storage.py",
    "azure.storage.blob": "infra/clients/azure_blobs.py",
    "azure.mgmt.authorization": "infra/clients/azure_roles.py",
    "azure.mgmt.web": "infra/clients/function_apps.py",
    "azure.mgmt.monitor": "infra/clients/azure_monitor.py",
    "azure.monitor.query": "infra/clients/azure_logs.py",
    "mlflow.store": "infra/clients/mlflow_connection.py",
    "mlflow.deployments": "infra/clients/mlflow_deployments.py",
    "mlflow.sagemaker": "infra/clients/mlflow_deployments.py",
}


@cache
def imported(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The import statements of a file, anywhere in it. Most tests ask for those of the same."""
    found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(node for node in found if isinstance(node, (ast.Import, ast.ImportFrom)))


def modules(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports from, anywhere in it."""
    for node in imported(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            yield node.module or ""


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is imported: not in functions, nor for type checkers alone."""
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)


def imports(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, anywhere in it; of this project, the rooms."""
    for node in imported(path):
        if isinstance(node, ast.Import):
            yield from (_room(alias.name) for alias in node.names)
        else:
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


@pytest.mark.parametrize("target", sorted(p.name for p in (ROOT / "targets").glob("[a-z]*")))
def test_a_target_imports_no_other(target: str) -> None:
    for path in files(f"targets/{target}"):
        own = [name for name in modules(path) if name.startswith("onnxferry.targets")]
        assert all(f"{name}.".startswith(f"onnxferry.targets.{target}.") for name in own), path


@pytest.mark.parametrize("room", THEIRS)
def test_a_host_loads_only_what_scoring_needs(room: str) -> None:
    for path in files(room):
        foreign = set(imports(path)) - ROOMS - sys.stdlib_module_names
        assert foreign <= THEIRS[room], path


def product(root: Path = ROOT) -> dict[str, Path]:
    """Each module of the product by its full name."""
    paths = [path for room in PRODUCT for path in sorted((root / room).rglob("*.py"))]
    names = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    return {
        f"onnxferry.{name.removeprefix('onnxferry.')}".removesuffix(".__init__"): path
        for path, name in names.items()
    }


def needed(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of `known` that are imported when this file's is; of `from x import y`, x.y where
    that is a module."""
    for node in at_import(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from [full] if full in known else {node.module or ""} & known.keys()


def circle(known: Mapping[str, Path]) -> list[str]:
    """Modules that import each other in a circle; none if there is none."""
    graph = {name: {*needed(path, known)} - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        return list(e.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle(product()) == []


def test_a_circle_would_be_found(tmp_path: Path) -> None:
    for name, text in (
        ("a", "from onnxferry.scoring import b"),
        ("b", "def f():\n    import onnxferry.scoring.a"),
        ("c", "class C:\n    import onnxferry.scoring.d"),
        ("d", "from onnxferry.scoring.c import C"),
    ):
        (tmp_path / "scoring").mkdir(exist_ok=True)
        (tmp_path / "scoring" / f"{name}.py").write_text(text)
    found = circle(product(tmp_path))
    assert {*found} == {"onnxferry.scoring.c", "onnxferry.scoring.d"}


@pytest.mark.parametrize("room", PRODUCT)
def test_a_room_is_imported_below_onnxferry_alone(room: str) -> None:
    """In a user's process `scoring` may be the user's own module."""
    bare = {"infra", "scoring", "scripts", "targets", "cli", "pipelines", "system"}
    for path in files(room):
        assert not bare & {name.partition(".")[0] for name in modules(path)}, path


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
        foreign = {"azure", "boto3", "botocore", "mlflow", "sagemaker"} & set(imports(path))
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
        " 'optimum', 'onnx', 'PIL', 'tokenizers', 'urllib3'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code, str(make(tmp_path))]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [loads]


def test_one_file_asks_the_hub() -> None:
    paths = [path for room in PRODUCT for path in files(room)]
    users = [
        path.relative_to(ROOT).as_posix() for path in paths if "huggingface_hub" in imports(path)
    ]
    assert users == ["scripts/prepare/sources/hub/client.py"]
