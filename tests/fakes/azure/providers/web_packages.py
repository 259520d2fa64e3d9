"""Packages of function apps: what is published, what is wrong with it, which functions it has."""

from __future__ import annotations

import functools
import hashlib
import io
import re
import uuid
import zipfile
from dataclasses import dataclass, field


@dataclass
class FakePublication:
    """One deployment: `polls` until its end; `failure` is the log with which it fails."""

    package: bytes
    sha256: str
    polls: int
    failure: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: int = 1


def publication(package: bytes, polls: int, failure: str) -> FakePublication:
    """A deployment that has begun."""
    return FakePublication(package, hashlib.sha256(package).hexdigest(), polls, failure)


def fault_of(package: bytes) -> str:
    """Why a package is none, as the log says; "" where it is one."""
    try:
        names = zipfile.ZipFile(io.BytesIO(package)).namelist()
    except zipfile.BadZipFile:
        return "Central Directory corrupt."
    whole = {"host.json", "function_app.py"} <= set(names)
    return "" if whole else "host.json or function_app.py not at its root"


@functools.lru_cache(maxsize=64)
def functions_of(package: bytes) -> tuple[str, ...]:
    """The functions in a package: what its app names, and score."""
    text = zipfile.ZipFile(io.BytesIO(package)).read("function_app.py").decode()
    return ("score", *sorted(set(re.findall(r'function_name\("(\w+)"\)', text)) - {"score"}))
