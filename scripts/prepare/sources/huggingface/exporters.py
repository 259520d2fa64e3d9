"""What exports a Hugging Face model: our own exporter, or optimum's, which knows some architectures
better. Told without importing either."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from onnxferry.scripts.prepare.options import OPTIMUM

_NEEDS = "--exporter optimum needs optimum-onnx, which needs transformers 4"
_ADVICE = "pip install 'onnxferry[export,optimum]' 'transformers<4.58', or leave --exporter out"


def mistakes(exporter: str) -> Iterator[str]:
    """Why `exporter` cannot be had here."""
    if exporter != OPTIMUM:
        return
    transformers = _installed("transformers")
    if _installed("optimum-onnx") is None:
        yield f"{_NEEDS}; it is not installed: {_ADVICE}"
    elif transformers and int(transformers.split(".")[0]) > 4:
        yield f"{_NEEDS}; {transformers} is installed: {_ADVICE}"


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
