"""Environments with the SageMaker SDK: pytest -m sdk."""

from __future__ import annotations

import sys
from pathlib import Path

from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.cache import cache_folder
from tests.packages import quiet

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = {"2": "sagemaker>=2.250,<3", "3": "sagemaker>=3.20,<4"}


def python(version: str) -> Path:
    """The interpreter of an environment with that major version alone, of this Python's version. It
    is made once, and kept in the user's cache."""
    name, install = f"sagemaker-sdk-{version}-{HERE}", Install((VERSIONS[version],))
    made = environment(name, Path(sys.executable), (install,), cache_folder(), quiet)
    return made / "bin" / "python"
