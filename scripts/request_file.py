"""A file as a request."""

from __future__ import annotations

from pathlib import Path

from onnxferry.scoring.wire import Request
from onnxferry.system import text_files
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


def read_request(path: Path, flag: str = "") -> Request:
    """A file as a request body; its suffix tells the media type. Raises UsageError, which begins
    with `flag`, for an unknown one, and for a .json file that is not UTF-8."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        known = ", ".join(MEDIA_TYPES)
        raise UsageError(f"{flag}{path}: suffix '{path.suffix}' is unknown; known: {known}")
    text = media_type == MEDIA_TYPES[".json"]
    return Request(text_files.read_bytes(path, flag) if text else path.read_bytes(), media_type)
