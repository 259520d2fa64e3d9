"""What payloads are made of besides JSON data, and the names of the media types that carry them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """The encoded bytes of one picture."""

    data: bytes


JSONLINES = ("application/jsonlines", "application/x-ndjson", "application/jsonl")
TEXT = "text/plain"
MULTIPART = "multipart/form-data"
NPY = "application/x-npy"
IMAGES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "application/octet-stream",
)
