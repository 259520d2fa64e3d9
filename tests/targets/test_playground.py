"""The playground in a real browser: each task by keyboard, marks, errors, and what it may load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from onnxferry.targets.local import playground
from tests.targets import playground_server


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return playground_server.written(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def url(folders: dict[str, Path]) -> Iterator[str]:
    with playground_server.serving(folders) as url:
        yield url


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers={n.replace("_", "-"): v for n, v in headers.items()})


def test_files_have_their_types_and_are_kept_by_their_tag(url: str) -> None:
    page = get(url)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in page.headers["content-security-policy"]
    script = get(f"{url}playground/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = get(f"{url}playground/app.js", if_none_match=script.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert get(f"{url}playground/__init__.py").status_code == 404


def test_what_is_packed_is_small() -> None:
    folder = Path(playground.__file__).parent / "static"
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 100_000
