"""An environment with MLflow 2, for what is tested under it too: pytest -m mlflow2."""

from __future__ import annotations

import sys
from pathlib import Path

from onnxferry.scripts.package import pins
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.cache import cache_folder
from tests.packages import quiet

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# as pip resolves it without the two bounds, MLflow 2.22 serves nothing and tracks nothing
MLFLOW = ("mlflow>=2.22,<3", "starlette<1", "sqlalchemy<2.1", "pyspark==3.5.9")
TESTS = (
    "click filelock httpx hypothesis onnx platformdirs psutil pydantic pytest pytest-timeout"
    " PyYAML rich"
)


def install() -> Install:
    """What is in it: MLflow 2 and Spark 3.5, what scoring imports, and what the tests do."""
    scoring = pins.select(("onnxruntime", "tokenizers", "pillow"), HERE)
    return Install((*MLFLOW, *scoring, *TESTS.split()))


def python() -> Path:
    """Its interpreter, of this Python's version. It is made once, and kept in the user's cache."""
    name, here = f"mlflow-{HERE}", Path(sys.executable)
    return environment(name, here, (install(),), cache_folder(), quiet) / "bin" / "python"
