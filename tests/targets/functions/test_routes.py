"""Each route of the Functions app of a picture model, inside the Azure Functions worker."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import jsonschema
import pytest

from onnxferry.scoring.limits import Limits
from onnxferry.scripts.rehearse import Host
from onnxferry.scripts.rehearse.functions import KEY
from tests import tiny
from tests.targets.functions.worker import App, ask, error
from tests.targets.local.routes.test_document import PICTURE

pytestmark = pytest.mark.host
KEYED = [
    ("POST", "/api/score"),
    ("GET", "/api/classify?img=https://a.example/cat.png"),
    ("POST", "/api/classify"),
    ("GET", "/api/openapi.json"),
    ("GET", "/api/docs"),
    ("GET", "/api/docs/swagger-ui.css"),
]
LIMITS = Limits(body_bytes=100_000)
BMP = {"content-type": "image/bmp"}
NOT_PUBLIC = "https://a.example/a.png?b=1&c=2"  # so that nothing is asked


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("functions")
    return App.of(tiny.image_classification(folder / "model", limits=LIMITS), folder)


@pytest.fixture(scope="module")
def host(app: App) -> Iterator[Host]:
    with app.started(ONNXFERRY_URLS_ALLOW="true") as host:
        yield host


def classified(host: Host) -> httpx.Response:
    return ask(host, "POST", "/api/classify", content=PICTURE, headers=BMP)


def scored(host: Host) -> httpx.Response:
    return ask(host, "POST", "/api/score", content=PICTURE, headers=BMP)


def test_the_first_requests_may_come_together(host: Host) -> None:
    with ThreadPoolExecutor(8) as pool:
        scores = pool.map(lambda _: scored(host), range(12))
        labels = pool.map(lambda _: classified(host), range(12))
        found = {(r.status_code, r.json()[0]["label"]) for r in scores}
        found |= {(r.status_code, r.json()["prediction"]) for r in labels}
    assert found == {(200, "red")}


def test_classify_answers_as_the_tutorial_and_with_the_pipelines_list(host: Host) -> None:
    told = classified(host).json()
    assert set(told) == {"created", "prediction", "confidence", "latency", "predictions", "model"}
    assert told["predictions"] == scored(host).json()
    assert (told["prediction"], told["confidence"]) == tuple(told["predictions"][0].values())


@pytest.mark.parametrize(("method", "path"), KEYED)
@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_without_the_function_key_the_host_refuses(
    host: Host, method: str, path: str, key: str | None
) -> None:
    answer = ask(host, method, path, key, content=PICTURE if method == "POST" else None)
    assert (answer.status_code, answer.content) == (401, b"")


@pytest.mark.parametrize(("method", "path"), KEYED)
def test_the_key_may_be_in_the_query(host: Host, method: str, path: str) -> None:
    with_key = f"{path}{'&' if '?' in path else '?'}code={KEY}"
    body = PICTURE if method == "POST" else None
    answer = ask(host, method, with_key, None, content=body, headers=BMP)
    assert answer.status_code in (200, 403, 424)
    assert KEY not in answer.text


def test_a_key_in_a_header_comes_before_one_in_the_query(host: Host) -> None:
    assert ask(host, "GET", f"/api/docs?code={KEY}", "wrong").status_code == 401


@pytest.mark.parametrize("path", ["/api/health", "/api/ready", "/API/Ready/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probes_need_no_key(host: Host, method: str, path: str) -> None:
    scored(host)  # it is loaded
    answer = ask(host, method, path, None)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    if method == "HEAD":
        assert answer.content == b""
    else:
        assert answer.json() == {"status": "ready" if "ready" in path.lower() else "healthy"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/score"),
        ("GET", "/api/score"),
        ("HEAD", "/api/docs"),
        ("POST", "/api/ready"),
        ("DELETE", "/api/classify"),
        ("POST", "/api/other"),
        ("GET", "/score"),
        ("GET", "/api/docs/a/b"),
        ("GET", "/api/docs/%2e%2e%2fhost.json"),
    ],
)
def test_the_host_knows_no_other_path_or_method(host: Host, method: str, path: str) -> None:
    assert ask(host, method, path).status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "missing_field"),
        ("?img=", 400, "missing_field"),
        (f"?img={quote(NOT_PUBLIC, safe='')}", 403, "url_not_allowed"),
        (f"?img={quote(NOT_PUBLIC, safe=':/')}", 403, "url_not_allowed"),
        ("?IMG=https://a.example/a.png", 400, "missing_field"),
        ("?img=https%3A%2F%2F127.0.0.1%2Fa+b.png", 400, "invalid_url"),
        ("?img=file:///etc/passwd", 400, "invalid_url"),
        ("?img=a.png", 400, "invalid_url"),
        ("?img=https://a.example/%C3%BC.png", 403, "url_not_allowed"),
        (f"?img={NOT_PUBLIC}&img={NOT_PUBLIC}", 403, "url_not_allowed"),
        ("?img=%00", 400, "invalid_url"),
        ("?img=%FF%FE", 400, "invalid_url"),
        ("?img=https://a.example/%0d%0aHost:%20a", 400, "invalid_url"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_query_names_the_picture(
    host: Host, method: str, query: str, status: int, code: str
) -> None:
    assert error(ask(host, method, f"/api/classify{query}")) == (status, code)


BAD = {  # a body and its content type -> the refusal
    (b"{", "application/json"): (400, "invalid_body"),
    (b"[1, 2", "application/json; charset=utf-8"): (400, "invalid_body"),
    (b"\xff\xfe", "application/json"): (400, "invalid_body"),
    (b"not a picture", "image/png"): (400, "invalid_image"),
    (b"{}", "application/json"): (400, "missing_field"),
    (b"{}", "application/pdf"): (415, "unsupported_media_type"),
    (bytes(LIMITS.body_bytes + 1), "image/png"): (413, "too_large"),
}


@pytest.mark.parametrize("path", ["/api/score", "/api/classify"])
@pytest.mark.parametrize(("sent", "refusal"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_body_is_refused(
    host: Host, path: str, sent: tuple[bytes, str], refusal: tuple[int, str]
) -> None:
    answer = ask(host, "POST", path, content=sent[0], headers={"content-type": sent[1]})
    assert error(answer) == refusal
    assert answer.headers["x-request-id"]


def test_a_body_in_chunks_does_not_reach_the_function(host: Host) -> None:
    answer = ask(host, "POST", "/api/score", content=iter([PICTURE]), headers=BMP)
    assert answer.status_code == 400
    assert "0 bytes" in answer.json()["error"]["message"]


def raw(host: Host, head: str) -> bytes:
    """The first line of what comes back for a head alone."""
    url = httpx.URL(host.url)
    with socket.create_connection((url.host, url.port or 80), 10) as connection:
        connection.sendall(f"{head}\r\nHost: a\r\nx-functions-key: {KEY}\r\n\r\n".encode())
        return connection.makefile("rb").readline().strip()


@pytest.mark.parametrize(
    ("length", "status"), [("104857601", b"500"), ("-1", b"400"), ("many", b"400")]
)
def test_the_host_refuses_the_body_by_its_length(host: Host, length: str, status: bytes) -> None:
    head = f"POST /api/score HTTP/1.1\r\nContent-Length: {length}"
    assert raw(host, head).split()[1] == status


def test_the_openapi_document_has_this_model_and_what_it_says_holds(host: Host) -> None:
    told = ask(host, "GET", "/api/openapi.json").json()
    assert set(told["paths"]) == {"/api/score", "/api/classify", "/api/health", "/api/ready"}
    assert {"name": "x-functions-key", "in": "header", "type": "apiKey"} in (
        told["components"]["securitySchemes"].values()
    )
    assert told["paths"]["/api/ready"]["get"]["security"] == []
    for path, answer in {"/api/score": scored(host), "/api/classify": classified(host)}.items():
        responses = told["paths"][path]["post"]["responses"]
        jsonschema.validate(
            answer.json(), responses["200"]["content"]["application/json"]["schema"]
        )
        refused = ask(host, "POST", path, content=b"{")
        schema = responses[str(refused.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(refused.json(), schema)


def test_the_page_needs_no_network_and_keeps_the_key_to_itself(host: Host) -> None:
    page = ask(host, "GET", "/api/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    assert KEY not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    for name, starts in {"swagger-ui-bundle.js": "/*!", "swagger-ui.css": ".swagger-ui"}.items():
        file = ask(host, "GET", f"/api/docs/{name}")
        assert (file.status_code, file.headers["content-encoding"]) == (200, "gzip")
        assert file.text.startswith(starts)
    assert ask(host, "GET", "/api/docs/LICENSE.txt").status_code == 404


def test_a_request_keeps_its_id_and_another_has_the_invocations(host: Host) -> None:
    kept = ask(host, "POST", "/api/score", content=PICTURE, headers={**BMP, "x-request-id": "a-7"})
    assert kept.headers["x-request-id"] == "a-7"
    made = scored(host).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f-]{36}", made)
    lines = [json.loads(x) for x in host.log_tail(400).splitlines() if x.startswith('{"id"')]
    assert {"a-7", made} <= {line["id"] for line in lines}


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed")
def test_a_browser_shows_the_page_and_tries_a_request_out(host: Host) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    said: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("request", lambda request: said.append(f"{request.method} {request.url}"))
        tab.goto(f"{host.url.partition('/api/')[0]}/api/docs?code={KEY}")
        tab.get_by_role("button", name=re.compile("^GET .*classify")).click()
        tab.get_by_role("button", name="Try it out").click()
        tab.get_by_placeholder("img").fill(NOT_PUBLIC)
        tab.get_by_role("button", name="Execute").click()
        tab.get_by_text('"url_not_allowed"').first.wait_for()
        browser.close()
    base = host.url.partition("/api/")[0]
    asked = [line for line in said if line.startswith(("GET", "POST"))]
    assert all(line.startswith(f"GET {base}/api/") or " data:" in line for line in asked), asked
    tried = [line for line in asked if "/api/classify" in line]
    assert len(tried) == 1
    assert KEY not in tried[0]
    assert not [line for line in said if "Content Security Policy" in line], said
