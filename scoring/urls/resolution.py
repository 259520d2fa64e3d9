"""Names to the addresses that a connection may go to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

from onnxferry.scoring.errors import FetchFailed
from onnxferry.scoring.urls.addresses import is_public

MOST = 4  # addresses that are tried
Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""The addresses of a name, which is asked once for each connection. Raises OSError."""


def system(name: str, port: int) -> Sequence[str]:
    """A Resolver: the host's own, which waits as long as it likes. The final dot keeps it from the
    domains that the host searches, as those of a cluster."""
    how = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    return [str(address[0]) for *_, address in socket.getaddrinfo(f"{name}.", port, **how)]


def public(
    name: str, port: int, resolver: Resolver, check: Callable[[str], bool] = is_public
) -> Sequence[str]:
    """Up to MOST addresses of a name, in the resolver's order. One that is not public refuses all:
    a name with both kinds is set up to be asked until the wrong one comes, or is a private
    network's. Raises FetchFailed with one message for a name that has none and for one that is
    refused, since which names a private network has is nobody's business."""
    try:
        found = [*dict.fromkeys(resolver(name, port))]
    except (OSError, UnicodeError):
        found = []
    if not found or not all(map(check, found)):
        raise FetchFailed("the host's name has no public address")
    return found[:MOST]
