"""What packaging produces, as frozen data that rehearsal and deployment read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Member:
    """One file of a package. `size` is in bytes, unpacked."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """One built package.

    `path` is model.tar.gz (sagemaker), function.zip (functions) or a folder (azureml, local).
    `sha256` names the content: of the archive's bytes, or of the folder's sorted (path, sha256)
    pairs. `size` is in bytes: of the archive, or of all files. `python` is the Python version
    ("3.12") that the package is for.
    """

    target: str
    model: str
    path: Path
    sha256: str
    size: int
    python: str
    members: tuple[Member, ...]
