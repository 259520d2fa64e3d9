"""TLS and connections, the same for all that is sent: which certificates are trusted, and what a
broken connection means.

Certificates are those of certifi, unless a variable names others, as behind a proxy that opens
TLS: macOS's Python has none of its own.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from onnxferry.infra.errors import Unavailable

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def certificates(variables: Mapping[str, str] = os.environ) -> str:
    """The file (or folder) of the certificates to trust: the first of BUNDLES that is set, else
    certifi's. Raises Unavailable where there is none."""
    name = next((name for name in BUNDLES if variables.get(name)), None)
    if name is None:
        return certifi.where()
    if not Path(variables[name]).exists():
        raise Unavailable(
            f"{name}={variables[name]}: no such file; correct or unset the variable, which says"
            " whose certificates are trusted"
        )
    return variables[name]


def trust(variables: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The same certificates for a client that takes an SSLContext."""
    path = certificates(variables)
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as e:
        raise Unavailable(f"{path}: holds no certificates ({e}); it should hold PEM") from e


def broken(e: BaseException) -> str:
    """Why there was no connection, or no answer, and what to do, by the errors that led to `e`."""
    chain = list(_chain(e))
    for kind, say in _CAUSES.items():
        if found := next((one for one in chain if isinstance(one, kind)), None):
            return say.format(said=_said(found))
    texts = " ".join(f"{type(one).__name__} {one}" for one in chain)
    return told(texts) or f"{type(e).__name__}; check the network, then run again"


def told(text: str) -> str:
    """The same where only a text is left of the cause; "" for one that tells of none."""
    lower = text.lower()
    return next((say for part, say in _TEXTS.items() if part in lower), "")


def unknown_name(e: BaseException) -> bool:
    """Whether a host's name was not known."""
    return any(isinstance(one, socket.gaierror) for one in _chain(e))


_UNTRUSTED = (
    "the server's certificate is not trusted ({said}). Behind a proxy that opens TLS, let"
    " REQUESTS_CA_BUNDLE name the file of its certificates (for AWS: AWS_CA_BUNDLE)"
)
_UNKNOWN = (
    "the name is not known here ({said}); check the network, DNS and, behind a proxy, HTTPS_PROXY"
)
_CLOSED = "the connection was refused; check the network, and HTTPS_PROXY if set"
_TIMEOUT = "no answer in time; check the network, and HTTPS_PROXY behind a proxy"
_ENDED = "the connection was closed; run again"
_CAUSES: Mapping[type[BaseException], str] = {
    ssl.SSLCertVerificationError: _UNTRUSTED,
    ssl.SSLError: "no TLS there ({said}); check the address, and HTTPS_PROXY if set",
    socket.gaierror: _UNKNOWN,
    ConnectionRefusedError: _CLOSED,
}
_TEXTS = {
    "certificate verify failed": _UNTRUSTED.format(said="certificate verify failed"),
    "407": "the proxy wants a name and a password: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",
    "proxy": "the proxy does not let it through; check HTTPS_PROXY and NO_PROXY",
    "failed to resolve": _UNKNOWN.format(said="no address was found"),
    "connection refused": _CLOSED,
    "timeout": _TIMEOUT,
    "timed out": _TIMEOUT,
    "reset": _ENDED,
    "aborted": _ENDED,
    "disconnected": _ENDED,
}


def _chain(e: BaseException) -> Iterator[BaseException]:
    """`e` and every error that led to it, by whichever way its library keeps it."""
    ahead, seen = [e], set[int]()
    while ahead:
        one = ahead.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        reason, inner = getattr(one, "reason", None), getattr(one, "inner_exception", None)
        kept = (one.__cause__, one.__context__, reason, inner, *one.args)
        ahead += [other for other in kept if isinstance(other, BaseException)]


def _said(e: BaseException) -> str:
    return str(getattr(e, "verify_message", "") or getattr(e, "strerror", "") or e)
