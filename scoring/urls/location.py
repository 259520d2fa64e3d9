"""A URL as it is fetched: https://NAME[:PORT]/PATH[?QUERY], read by one strict grammar.

Parsers disagree about what is odd, and an attacker lives between two of them: what is odd is
refused. An address, in whatever notation, is no name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from onnxferry.scoring.errors import InvalidUrl, UrlNotAllowed
from onnxferry.scoring.urls.policy import PORTS, Policy

MAX_LENGTH = 4096  # signed URLs of object stores have some 2000
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(#.*)?", re.DOTALL)
# white space, backslashes, control and format characters, halves of surrogate pairs
_ODD = re.compile(
    r"[\s\\\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last label it makes an address of the host
_DIFFER = re.compile("[ßς]")  # other names in IDNA 2003, which Python has, and 2008
_SAFE = "/:@!$&'()*+,;=-._~%?"
# names that no public server has (RFC 6761, 8375 and 9476, and those that ICANN keeps free)
_SPECIAL = """
    alt arpa corp example home internal intranet invalid lan local localdomain localhost mail onion
    private test
"""


@dataclass(frozen=True)
class Location:
    """`target`: path and query, in ASCII; `host`: a name in ASCII and lower case."""

    scheme: str
    host: str
    port: int
    target: str

    @staticmethod
    def parse(url: str, policy: Policy) -> Location:
        """Raises InvalidUrl, or UrlNotAllowed for what `policy` does not let fetch."""
        if len(url) > MAX_LENGTH:
            raise InvalidUrl(f"the URL has {len(url)} characters; at most {MAX_LENGTH} are read")
        if _ODD.search(url):
            raise InvalidUrl("the URL holds a space, a control character or a backslash")
        schemes = ("https", "http") if policy.http else ("https",)
        if not (found := _URL.fullmatch(url)) or found[1].lower() not in schemes:
            raise InvalidUrl(
                f"a picture's URL begins with {' or '.join(s + '://' for s in schemes)}"
            )
        scheme, (name, port) = found[1].lower(), _parted(found[2])
        if not found[3]:
            raise InvalidUrl("the URL names no path: https://HOST/PATH is expected")
        host, number = _host(name), int(port or PORTS[scheme])
        if not policy.allows(scheme, host, number):
            raise UrlNotAllowed("pictures are not fetched from this host and port")
        return Location(scheme, host, number, quote(found[3] + (found[4] or ""), _SAFE))

    def redirected(self, to: str, policy: Policy) -> Location:
        """Where a Location header leads. Raises as `parse`."""
        if not to or not to.isascii() or _ODD.search(to):  # urljoin drops some, and goes on
            raise InvalidUrl("the URL is empty, or holds what no URL does")
        try:
            url = urljoin(self.url, to)
        except ValueError as e:  # of brackets that hold no address
            raise InvalidUrl("the URL's host is no name") from e
        return Location.parse(url, policy)

    @property
    def url(self) -> str:
        """All of it."""
        return f"{self.scheme}://{self.netloc}{self.target}"

    @property
    def netloc(self) -> str:
        """The Host header."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"


def _parted(authority: str) -> tuple[str, str]:
    """Name and port."""
    if "@" in authority:
        raise InvalidUrl("the URL holds a sign-in, which is not sent; leave out what is before @")
    if "%" in authority or "[" in authority or "]" in authority:
        raise InvalidUrl("the URL's host must be a name; it is an address, or percent-encoded")
    name, colon, port = authority.partition(":")
    if colon and not (re.fullmatch("[1-9][0-9]{0,4}", port) and int(port) <= 65535):
        raise InvalidUrl("the URL's port must be a number from 1 to 65535")
    return name, port


def _host(name: str) -> str:
    """In ASCII and lower case, a name that a public server can have."""
    host = _ascii(name).lower()
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise InvalidUrl("the URL's host must be a name; it is an address")
    if len(labels) < 2 or len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidUrl("the URL's host must be a full name like images.example.com")
    if labels[-1] in _SPECIAL.split():
        raise UrlNotAllowed("the URL's host is of a domain that is not public")
    return host


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    if len(name) > 253 or _DIFFER.search(name):
        raise InvalidUrl("write the URL's host in ASCII, as xn--...")
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as e:
        raise InvalidUrl("the URL's host is no name") from e
