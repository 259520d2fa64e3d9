"""A file as a request."""

from __future__ import annotations

from pathlib import Path

from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError

MEDIA_TYPES = {
    ".json": "application/json",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".npy": "application/x-npy",
}


def read_request(path: Path) -> Request:
    """A file as a request body; its suffix tells the media type. Raises UsageError for an unknown
    one."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        known = ", ".join(MEDIA_TYPES)
        raise UsageError(f"{path}: suffix '{path.suffix}' is unknown; known: {known}")
    return Request(path.read_bytes(), media_type)
