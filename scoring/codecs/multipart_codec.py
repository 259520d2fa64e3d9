"""multipart/form-data, a form as browsers and `curl -F` send it (RFC 7578)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring.codecs.headers import MediaType, parameters
from onnxferry.scoring.codecs.json_codec import decode_json
from onnxferry.scoring.codecs.media_types import IMAGES, OCTETS, TEXT, Image
from onnxferry.scoring.errors import InvalidBody, UnsupportedMediaType

MAX_PARTS = 10_000
MAX_HEADERS = 8192  # bytes of one part's headers


@dataclass(frozen=True)
class _Part:
    name: str
    file: bool
    media_type: MediaType
    data: bytes

    def value(self) -> Any:
        """An Image, the JSON of `parameters`, or text."""
        if self.file:
            return Image(self.data)
        try:
            if self.name == "parameters":
                return decode_json(self.data, self.media_type)
            return self.media_type.text(self.data)
        except InvalidBody as e:
            raise InvalidBody(f"field '{self.name[:40]}' of the form: {e}") from e


def decode_multipart(body: bytes, media_type: MediaType) -> Any:
    """{"inputs": the Image} of a file of any name; other fields by name, `parameters` as JSON;
    several of a name as a list. Raises InvalidBody or UnsupportedMediaType."""
    fields: dict[str, list[Any]] = {}
    for part in _parts(body, media_type.parameters.get("boundary", "")):
        if part.file and (sent := part.media_type.name) not in IMAGES:
            what = f"file '{part.name[:40]}' of the form is of type '{sent[:80]}'"
            raise UnsupportedMediaType(f"{what}; send {' or '.join(IMAGES)}")
        fields.setdefault("inputs" if part.file else part.name, []).append(part.value())
    if not fields:
        raise InvalidBody("the form has no fields; expected a file, or a field 'inputs'")
    if len(fields.get("parameters", ())) > 1:
        raise InvalidBody("the form has more than one field 'parameters'")
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _parts(body: bytes, boundary: str) -> Iterator[_Part]:
    if not (boundary and boundary.isascii() and len(boundary) <= 70):
        raise InvalidBody("the content type names no boundary; expected one, as in ; boundary=...")
    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("ascii"), MAX_PARTS + 2)
    if len(chunks) < 2 or not chunks[-1].startswith(b"--"):
        what = f"it has no closing boundary, or more than {MAX_PARTS} fields"
        raise InvalidBody(f"the form is cut off: {what}")
    for chunk in chunks[1:-1]:
        head, blank, data = chunk.partition(b"\r\n\r\n")
        if not blank or len(head) > MAX_HEADERS or head[:2] != b"\r\n":
            raise InvalidBody("a part of the form has no headers, or too long ones")
        yield _part(head.decode("utf-8", "replace"), data)


def _part(head: str, data: bytes) -> _Part:
    lines = (line.partition(":") for line in head.split("\r\n"))
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    disposition = headers.get("content-disposition", "")
    options = parameters(disposition)
    if not disposition.lower().startswith("form-data") or not options.get("name"):
        expected = "Content-Disposition: form-data; name=..."
        raise InvalidBody(f"a part of the form has no name; expected {expected}")
    file = "filename" in options or "filename*" in options
    media_type = MediaType.parse(headers.get("content-type") or (OCTETS if file else TEXT))
    return _Part(options["name"], file or media_type.name in IMAGES, media_type, data)
