"""API keys: from a file or ONNXFERRY_SERVER_KEYS, compared in constant time, never printed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onnxferry.targets.local.config_file import ConfigError

VARIABLE = "ONNXFERRY_SERVER_KEYS"
LENGTH = 16  # characters of a key, at least: it cannot be guessed
HEADERS = ("x-api-key", "api-key", "x-functions-key")


@dataclass
class Keys:
    """The digests of the keys that are taken; without any, every request is."""

    _digests: tuple[bytes, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def admit(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request with these headers, in lower case, carries one of the keys."""
        given = [headers.get(name.encode(), b"") for name in HEADERS]
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            given.append(token.strip())
        digests = [_digest(key) for key in given if key]
        # all are compared, so that the time tells nothing
        return sum(hmac.compare_digest(d, k) for d in digests for k in self._digests) > 0

    def read(self, file: Path | None, environment: Mapping[str, str]) -> None:
        """Take the keys of a file, one a line, and of the variable, between commas, in place of
        those before. Raises ConfigError, and those before stay."""
        found = [(f"{VARIABLE}, key", environment.get(VARIABLE, "").split(","))]
        if file:
            found.append((f"{file}, line", _lines(file)))
        keys = [_checked(k, f"{at} {i}") for at, lines in found for i, k in enumerate(lines, 1)]
        given = tuple(_digest(key) for key in keys if key)
        if file and not given:
            raise ConfigError(f"{file}: no key in it; write one a line")
        self._digests = given


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise ConfigError(f"{file}: the keys cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{file}: the keys are not text in UTF-8") from e


def _checked(line: str, where: str) -> bytes:
    """The key in a line, empty for a blank one or a comment."""
    key = line.strip()
    if not key or key.startswith("#"):
        return b""
    if len(key) < LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        told = f"a key has at least {LENGTH} printable ASCII characters without a space"
        make = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        raise ConfigError(f"{where}: {told}; {make}")
    return key.encode()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
