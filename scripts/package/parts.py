"""What a package is made of: its bytes by part, as they are unpacked and, in a zip, packed."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass

from onnxferry.scripts.package.contract import Package

_LIBRARIES = r"^(?:\.python_packages/lib/site-packages/|code/|libraries/)(?!onnxferry/)"
_LIBRARY = re.compile(rf"{_LIBRARIES}([A-Za-z0-9_]+).*/")
_NOTICE = re.compile(r"\.dist-info/|(^|/)(LICENSE|LICENCE|NOTICE|COPYING|ThirdPartyNotices)[^/]*$")
_DISTRIBUTIONS = {"PIL": "pillow", "azure": "azure-functions", "azure_functions": "azure-functions"}


@dataclass(frozen=True)
class Part:
    """The model, our code, a library, or the notices of all: how many files, and their bytes.
    `packed`: in a zip with its headers; None for other packages, whose files have no bytes of their
    own."""

    name: str
    files: int
    unpacked: int
    packed: int | None


def parts(built: Package) -> list[Part]:
    """The parts of a package, largest first."""
    packed = _packed(built)
    members = defaultdict(list)
    for member in built.members:
        members[_part(member.path, built)].append(member)
    found = [
        Part(
            name,
            len(inside),
            sum(member.size for member in inside),
            sum(packed[member.path] for member in inside) if packed else None,
        )
        for name, inside in members.items()
    ]
    return sorted(found, key=lambda part: part.packed or part.unpacked, reverse=True)


def _packed(built: Package) -> dict[str, int]:
    """Each file's bytes in a zip: the data and two headers."""
    if built.path.suffix != ".zip":
        return {}
    with zipfile.ZipFile(built.path) as archive:
        return {i.filename: i.compress_size + 76 + 2 * len(i.filename) for i in archive.infolist()}


def _part(path: str, built: Package) -> str:
    if path.startswith(("model/", "artifacts/model/")) or (
        built.target == "sagemaker" and "/" not in path
    ):
        return "model"
    if _NOTICE.search(path):
        return "notices"
    if found := _LIBRARY.match(path):
        return _DISTRIBUTIONS.get(found[1], found[1])
    return "code"
