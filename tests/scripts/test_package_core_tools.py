"""What Azure Functions Core Tools look for in an app's folder, by its sources: the package has it.

`func start` wants the worker's runtime in local.settings.json and a function_app.py, and no storage
where all triggers are HTTP; `func azure functionapp publish --no-build` packs all that .funcignore
does not name; `func pack` wants requirements.txt and .python_packages.
"""

from __future__ import annotations

import fnmatch
import json
import zipfile
from pathlib import Path, PurePosixPath

import jsonschema
import pytest
from packaging.requirements import Requirement

from onnxferry.scripts.package import layout_of, pins
from tests.packages import build, make_index

TIME = {"type": "string", "pattern": r"^(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d$"}
HOST = {  # what the published schema of host.json says of the keys that we have
    "type": "object",
    "required": ["version"],
    "properties": {
        "version": {"const": "2.0"},
        "functionTimeout": TIME,
        "extensions": {
            "type": "object",
            "properties": {
                "http": {
                    "type": "object",
                    "required": ["routePrefix"],
                    "properties": {
                        "routePrefix": {"type": "string"},
                        "maxConcurrentRequests": {"type": "integer"},
                        "maxOutstandingRequests": {"type": "integer"},
                        "dynamicThrottlesEnabled": {"type": "boolean"},
                    },
                    "additionalProperties": False,
                }
            },
            "additionalProperties": False,
        },
        "logging": {
            "type": "object",
            "properties": {
                "logLevel": {"type": "object", "additionalProperties": {"type": "string"}},
                "applicationInsights": {
                    "type": "object",
                    "properties": {
                        "samplingSettings": {
                            "type": "object",
                            "properties": {
                                "isEnabled": {"type": "boolean"},
                                "excludedTypes": {"type": "string"},
                            },
                            "additionalProperties": False,
                        }
                    },
                    "additionalProperties": False,
                },
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a user unzips it."""
    folder = tmp_path_factory.mktemp("core-tools")
    built = build(make_index(folder / "index"), layout_of("functions"))
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(folder / "app")
    return folder / "app"


def test_func_start_finds_a_python_app_of_the_v2_model(app: Path) -> None:
    settings = json.loads((app / "local.settings.json").read_text())
    assert settings == {
        "IsEncrypted": False,
        "Values": {"AzureWebJobsStorage": "", "FUNCTIONS_WORKER_RUNTIME": "python"},
    }
    assert (app / "function_app.py").is_file()
    assert not list(app.glob("*/function.json"))  # of the v1 model, which may not be there too


def test_func_pack_finds_the_requirements_and_the_libraries(app: Path) -> None:
    lines = (app / "requirements.txt").read_text().splitlines()
    listed = [Requirement(line) for line in lines if not line.startswith("#")]
    names = {requirement.name for requirement in listed}
    assert names == {*pins.with_closure(["numpy", "onnxruntime", "tokenizers", "azure-functions"])}
    assert "azure-functions-worker" not in names  # of which func warns
    assert list((app / ".python_packages/lib/site-packages").iterdir())


def test_publishing_without_a_build_leaves_out_the_local_settings_alone(app: Path) -> None:
    patterns = (app / ".funcignore").read_text().split()
    files = [path.relative_to(app) for path in app.rglob("*") if path.is_file()]
    ignored = {
        path.as_posix()
        for path in map(PurePosixPath, files)
        if any(fnmatch.fnmatch(part, pattern) for part in path.parts for pattern in patterns)
    }
    assert ignored == {"local.settings.json"}
    assert {".venv", ".vscode", ".git*"} <= set(patterns)  # that a user's tools make


def test_host_json_is_one(app: Path) -> None:
    jsonschema.validate(json.loads((app / "host.json").read_text()), HOST)
