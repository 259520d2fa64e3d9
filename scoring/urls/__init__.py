"""Pictures by URL: fetched from public hosts alone, and only where the host allows it.

A client chooses the URL, and the host stands where clients may not reach: beside metadata services
and private networks. So a name is looked up once, every address that it has must be public, and the
connection goes to the address that was checked; at each redirect all of it again.
"""

from __future__ import annotations

import re

from onnxferry.scoring.codecs import ImageUrl
from onnxferry.scoring.urls.policy import ALLOW, HOSTS, PREFIX, Policy

__all__ = ["ALLOW", "HOSTS", "PREFIX", "Policy", "named"]

_SCHEME = re.compile(r"\s*(?!data:)[A-Za-z][A-Za-z0-9+.-]*:")


def named(value: object) -> ImageUrl | None:
    """The URL that a value of `inputs` is, of any scheme but data:, which holds the picture."""
    if isinstance(value, str) and _SCHEME.match(value):
        return ImageUrl(value)
    return value if isinstance(value, ImageUrl) else None
