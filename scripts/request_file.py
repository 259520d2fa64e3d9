"""A file as a request: its suffix says the media type, the same on every machine."""

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
    """A file as a request body; its suffix tells the media type. Raises UsageError that names an
    unknown suffix."""
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UsageError(
            f"{path}: suffix '{path.suffix}' is unknown; known: {', '.join(MEDIA_TYPES)}"
        )
    return Request(path.read_bytes(), media_type)
