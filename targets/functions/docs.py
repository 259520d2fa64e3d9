"""Swagger UI of the app's OpenAPI document, whose files are in the package: no network.

A browser has the function key in the page's query (?code=). The page sends it on: in the query for
its files, which tags load, and as a header for the document and for what is tried out, so that it
is in no address that is shown.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import azure.functions as func

# the local server's, which are packed at the same place
_STATIC = Path(__file__).parents[1] / "local" / "static"
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_SCRIPT = """
const page = location.pathname.replace(/\\/+$/, "");
const code = new URLSearchParams(location.search).get("code");
function add(tag, fields) {
  document.head.append(Object.assign(document.createElement(tag), fields));
}
function show() {
  SwaggerUIBundle({
    url: page.replace(/[^/]+$/, "openapi.json"),
    dom_id: "#swagger-ui",
    requestInterceptor: (request) => {
      if (code) request.headers["x-functions-key"] = code;
      return request;
    },
  });
}
add("link", { rel: "stylesheet", href: `${page}/swagger-ui.css${location.search}` });
add("script", { src: `${page}/swagger-ui-bundle.js${location.search}`, onload: show });
"""
_PAGE = f"""\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>onnxferry</title><link rel="icon" href="data:,"></head>
<body><div id="swagger-ui"></div><script>{_SCRIPT}</script></body>
</html>
"""
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'self' 'sha256-{_HASH}'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI's own attributes
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",  # the key is in the address
    "X-Content-Type-Options": "nosniff",
}


def page() -> func.HttpResponse:
    """The page."""
    return func.HttpResponse(_PAGE, mimetype="text/html", headers=_HEADERS)


def file(name: str) -> func.HttpResponse:
    """One of FILES, compressed; 404 for another."""
    if name not in FILES:
        return func.HttpResponse(status_code=404)
    kept = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
    headers = {**kept, "Content-Encoding": "gzip"}
    content = (_STATIC / f"{name}.gz").read_bytes()
    return func.HttpResponse(content, mimetype=FILES[name], headers=headers)
