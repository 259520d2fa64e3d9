"""The playground: a page at / that asks the models of this server. Static files without a build
step, which load nothing from elsewhere and may ask nothing but this server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response

_STATIC = Path(__file__).parent / "static"
_PAGE = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
HEADERS = {
    "Cache-Control": "no-cache",  # kept, and asked for again by its ETag: names have no version
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    headers: dict[str, str]

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the client has it."""
        asked = request.headers.get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
        if tags & {self.headers["ETag"], "*"}:
            return Response(None, 304, self.headers)
        return Response(self.body, 200, self.headers)


def add(app: FastAPI) -> None:
    """GET / and /playground/FILE, of the files as they are now."""
    for path, file in _files():
        app.add_api_route(path, _route(file), methods=["GET", "HEAD"], include_in_schema=False)


def _files() -> Iterator[tuple[str, _File]]:
    for path in sorted(p for p in _STATIC.rglob("*") if p.suffix in TYPES):
        body, name = path.read_bytes(), path.relative_to(_STATIC).as_posix()
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {**HEADERS, "Content-Type": TYPES[path.suffix], "ETag": tag}
        yield "/" if name == _PAGE else f"/playground/{name}", _File(body, headers)


def _route(file: _File):  # type: ignore[no-untyped-def]
    async def answer(request: Request) -> Response:
        return file.answer(request)

    return answer
