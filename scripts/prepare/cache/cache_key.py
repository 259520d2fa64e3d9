"""What an export and its verification depend on, as one hash: the source's files, the flags that
describe it, the tools, this project's code, Python, and what decides an output's last bits."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.scoring import cpu
from onnxferry.scripts.prepare import model_directory
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.content import content_sha256
from onnxferry.system.hashes import sha256

_FLAGS = ("task", "adapter", "tokenizer", "labels", "settings", "opset", "exporter")
_CODE = (Path(__file__).parent.parent, Path(scoring.__file__).parent)


def of(options: Options, asked: Mapping[str, Any]) -> str | None:
    """The key of a model folder; `asked` has the flags, and its hash if it is not the hub's. None
    where its content cannot be told: hashes do not follow a link to another folder."""
    folder = Path(options.source)
    if any(map(_has_links, filter(None, (folder, options.adapter, options.tokenizer)))):
        return None
    parts = {
        "source": asked["source"].get("sha256") or content_sha256(folder),
        "flags": {name: asked["flags"].get(name) for name in _FLAGS},
        "tools": model_directory.tool_versions(model_directory.KEYED_TOOLS),
        "code": [_code(root) for root in _CODE],
        "python": platform.python_version(),
        "machine": [platform.system(), platform.machine(), *_processor()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _has_links(folder: Path) -> bool:
    return any(path.is_symlink() and path.is_dir() for path in folder.rglob("*"))


def _code(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc")
    digests = "".join(f"{sha256(path)}  {path.relative_to(root).as_posix()}\n" for path in files)
    return hashlib.sha256(digests.encode()).hexdigest()


def _processor() -> tuple[object, ...]:
    """Its kind decides the kernels of both runtimes, its threads the order of sums."""
    from onnxferry.scripts.prepare.sources import pytorch

    return cpu.kind(), cpu.processor(), cpu.available(), pytorch.threads()
