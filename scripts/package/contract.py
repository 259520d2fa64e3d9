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

    `path` is an archive (sagemaker, functions) or a folder; `sha256` is its archive.fingerprint.
    `size` is in bytes: of the archive, or of all files. `python` is what it is for ("3.12");
    `compiled_by` the version of the one that compiled its modules ("3.12.1"; "": none did).
    """

    target: str
    model: str
    path: Path
    sha256: str
    size: int
    python: str
    members: tuple[Member, ...]
    compiled_by: str = ""
