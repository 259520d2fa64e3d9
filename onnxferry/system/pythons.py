"""Find the interpreter of the Python version that a package is for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# prints the version if it can make a virtual environment
_PROBE = "import sys, venv; print('%d.%d' % sys.version_info[:2])"


def find_python(version: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """An interpreter of `version` ("3.12") that can make a virtual environment: the running one, in
    PATH, or of pyenv. Each is run, since pyenv puts shims on PATH that run no Python."""
    return next((path for path in _candidates(version, environ) if _runs(path, version)), None)


def _candidates(version: str, environ: Mapping[str, str]) -> Iterator[Path]:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        if found := shutil.which(f"python{version}", path=folder):
            yield Path(found)
    pyenv = Path(environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)


def _runs(path: Path, version: str) -> bool:
    command = [str(path), "-I", "-c", _PROBE]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0 and found.stdout.strip() == version
