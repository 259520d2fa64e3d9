"""onnxferry's own version, which is a part of what makes two runs, or two images, the same."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Where only the source is here, as on a cluster's driver, "source"."""
    try:
        return version("onnxferry")
    except PackageNotFoundError:
        return "source"
