"""What routes of several protocols need: taken paths, the server's version."""

from __future__ import annotations

import functools
from importlib import metadata

from fastapi import FastAPI


def taken(app: FastAPI) -> set[str]:
    """The paths that have a route."""
    return {getattr(route, "path", "") for route in app.routes}


@functools.cache
def version() -> str:
    """onnxferry's, where it is installed; of a package that was copied it is not known."""
    try:
        return metadata.version("onnxferry")
    except metadata.PackageNotFoundError:
        return "unknown"
