"""The names of the media types, and what payloads hold besides JSON data."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.scoring.wire import JSON


@dataclass(frozen=True)
class Image:
    """The encoded bytes of one image; scoring/images.py decodes them."""

    data: bytes


@dataclass(frozen=True)
class ImageUrl:
    """Where an image is, as a client names it, unchecked. `where`: the field that it came in."""

    url: str
    where: str = ""


JSONLINES = ("application/jsonlines", "application/x-ndjson", "application/jsonl")
CSV = "text/csv"
TEXT = "text/plain"
MULTIPART = "multipart/form-data"
NPY = "application/x-npy"
OCTETS = "application/octet-stream"
IMAGES = (  # the bytes tell the format, whatever the type says
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/x-image",  # of any format, as the Hugging Face containers have it
    OCTETS,
)
# forms of the same fields: a task that takes the first takes each
STRUCTURED = (JSON, *JSONLINES, CSV, MULTIPART)
