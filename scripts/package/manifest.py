"""package.json beside each package: the Package as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from onnxferry.scripts.package import archive
from onnxferry.scripts.package.contract import Member, Package
from onnxferry.system.errors import PackageError
from onnxferry.system.exits import program
from onnxferry.system.files import replacing

MANIFEST = "package.json"


def write(package: Package) -> None:
    """Write package.json beside the package."""
    with replacing(package.path.parent / MANIFEST) as fresh:
        fresh.write_text(to_json(package, package.path.name), encoding="utf-8")


def to_json(package: Package, path: str) -> str:
    """`package` as JSON text in which its path is `path`."""
    return json.dumps({**asdict(package), "path": path}, indent=2) + "\n"


def read(path: Path) -> Package:
    """The package at `path`, which is itself, its folder or its package.json. Raises PackageError
    when it is absent, or is not what package.json says."""
    package = _load(_manifest(Path(path)))
    if not package.path.exists():
        said = "no such package, though package.json is there"
    elif (actual := archive.fingerprint(package.path)) != package.sha256:
        said = f"changed since it was built (sha256 {actual}; package.json says {package.sha256})"
    else:
        return package
    raise PackageError(f"{package.path}: {said}; {_again(package.target)}")


def same(draft: Package) -> Package | None:
    """The package that is there already with the members of `draft`, unchanged; None if it is
    not."""
    try:
        there = read(draft.path)
    except PackageError:
        return None
    return there if replace(draft, sha256=there.sha256, size=there.size) == there else None


def _again(target: str = "TARGET") -> str:
    return f"build it with: {program('package')} MODEL_DIR --target {target}"


def _manifest(path: Path) -> Path:
    if path.name == MANIFEST:
        return path
    return path / MANIFEST if (path / MANIFEST).is_file() else path.parent / MANIFEST


def _load(manifest: Path) -> Package:
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        members = tuple(Member(**member) for member in data["members"])
        return Package(**{**data, "path": manifest.parent / data["path"], "members": members})
    except FileNotFoundError as e:
        raise PackageError(f"{manifest}: no such file, so there is no package; {_again()}") from e
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PackageError(f"{manifest}: no package.json of onnxferry ({e!r}); {_again()}") from e
