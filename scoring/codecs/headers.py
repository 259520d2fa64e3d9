"""Content-Type and Accept as HTTP means them (RFC 9110, sections 5.6.6, 8.3 and 12.4 to 12.5)."""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxferry.scoring.errors import InvalidBody, UnsupportedEncoding

_PARAMETER = re.compile(r';[ \t]*([^\s=;]+)=("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_WEIGHT = re.compile(r"0?\.\d{1,3}|0\.?|1(\.0{0,3})?")  # Java's clients leave out the leading zero
MAX_ENTRIES = 100  # of an Accept header that are read

# Python's names, without codecs that are no charsets (idna, unicode_escape) or hide text (utf-7)
_CHARSETS = """
    utf-8 utf-8-sig ascii iso8859-1 iso8859-2 iso8859-5 iso8859-7 iso8859-9 iso8859-15 cp1250
    cp1251 cp1252 cp1253 cp1254 cp1257 koi8-r koi8-u utf-16 utf-16-le utf-16-be utf-32
    utf-32-le utf-32-be shift_jis cp932 euc_jp gb2312 gbk gb18030 big5 euc_kr
"""
CHARSETS = frozenset(_CHARSETS.split())


@dataclass(frozen=True)
class MediaType:
    """A media type, and its parameters by name; names are in lower case."""

    name: str
    parameters: Mapping[str, str]

    @staticmethod
    @functools.lru_cache(256)  # clients send the same few
    def parse(value: str) -> MediaType:
        """Of a Content-Type header."""
        name, _, rest = value.partition(";")
        return MediaType(name.strip().lower(), parameters(f";{rest}"))

    def text(self, body: bytes) -> str:
        """`body` as text, without a byte order mark. Raises UnsupportedEncoding, or InvalidBody
        that names the wrong byte."""
        charset = self.charset() or "utf-8-sig"
        try:
            return body.decode(charset).removeprefix("\ufeff")
        except UnicodeDecodeError as e:
            name = charset.removesuffix("-sig").upper()
            raise InvalidBody(f"the body is not {name} text at byte {e.start}") from e

    def charset(self) -> str | None:
        """Python's name of the charset, if any. Raises UnsupportedEncoding."""
        if not (sent := self.parameters.get("charset")):
            return None
        try:
            name = codecs.lookup(sent).name
        except (LookupError, ValueError):  # a name with a NUL is a ValueError
            name = ""
        if name not in CHARSETS:
            raise UnsupportedEncoding(f"charset '{sent[:40]}' is not known; send UTF-8")
        return name


def parameters(text: str) -> dict[str, str]:
    """The `; name=value` or `; name="value"` after a header's value; the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text):
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value.strip()
        found.setdefault(name.lower(), plain)
    return found


def weights(header: str) -> Iterator[tuple[str, float]]:
    """The entries of an Accept-like header in lower case, each with its q; an invalid q is 1."""
    for entry in header.split(",", MAX_ENTRIES)[:MAX_ENTRIES]:
        name, _, rest = entry.partition(";")
        weight = parameters(f";{rest}").get("q", "1")
        if name.strip():
            yield name.strip().lower(), float(weight) if _WEIGHT.fullmatch(weight) else 1.0


def preferred(accept: str, offered: Sequence[str]) -> tuple[str, ...]:
    """Those of `offered` that an Accept header allows, by q, then by its order; all for an empty
    one. For each the most specific entry counts: application/json before application/* or */*."""
    entries: dict[str, tuple[float, int]] = {}
    for i, (name, q) in enumerate(weights(accept)):
        entries.setdefault("*/*" if name == "*" else name, (-q, i))
    entries = entries or {"*/*": (-1.0, 0)}
    ranked = []
    for media_type in offered:
        patterns = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        if found := next((entries[name] for name in patterns if name in entries), None):
            ranked.append((found, media_type))
    return tuple(name for (q, _), name in sorted(ranked, key=lambda r: r[0]) if q)
