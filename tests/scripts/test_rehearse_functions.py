"""The stand-in for the Functions host: routes, keys, and throttling, without the worker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from onnxferry.scripts.rehearse.hosts.functions_server import (
    FunctionsHandler,
    FunctionsWorker,
    HttpTrigger,
    ProtoMessage,
    Throttle,
)

FUNCTION = SimpleNamespace(function_id="1", name="Thing")


def trigger(route: str, **binding: Any) -> HttpTrigger:
    return HttpTrigger.of(FUNCTION, {"name": "req", "route": route, **binding}, "api")


class EchoWorker(FunctionsWorker):
    """A worker whose functions answer with their request, once `go` is set."""

    def __init__(self) -> None:
        self.throttle = Throttle(2, 3)
        self.triggers = [
            trigger("a/{name}"),
            trigger("a/b", authLevel="ANONYMOUS", methods=["GET"]),
        ]
        self.go, self.running, self.most = threading.Event(), 0, 0
        self.go.set()
        self._counting = threading.Lock()

    def invoke(self, trigger: HttpTrigger, http: ProtoMessage) -> Any:
        with self._counting:
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(30)
        with self._counting:
            self.running -= 1
        seen = {"path": trigger.path.pattern, "params": http.params, "query": http.query}
        body = SimpleNamespace(bytes=json.dumps({**seen, "headers": http.headers}).encode())
        return SimpleNamespace(status_code="200", headers={}, body=body)


@pytest.fixture
def worker() -> EchoWorker:
    return EchoWorker()


@pytest.fixture
def client(worker: EchoWorker) -> Iterator[httpx.Client]:
    class Handler(FunctionsHandler):
        def log_message(self, *words: Any) -> None:
            pass

    Handler.worker, Handler.key = worker, "k"
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        url, key = f"http://127.0.0.1:{server.server_port}", {"x-functions-key": "k"}
        with httpx.Client(base_url=url, headers=key, trust_env=False) as client:
            yield client
        server.shutdown()
        serving.join()


def test_a_literal_path_comes_before_one_with_a_parameter(client: httpx.Client) -> None:
    assert client.get("/api/a/b").json()["path"] == "api/a/b"
    assert client.get("/API/A/c%20d/").json()["params"] == {"name": "c d"}
    assert client.post("/api/a/b").json()["params"] == {"name": "b"}
    assert client.get("/api/a/b/c").status_code == 404


def test_a_route_with_a_constraint_is_none_that_is_rehearsed() -> None:
    for route in ("a/{id:int}", "{*all}", "a/{id?}"):
        with pytest.raises(ValueError, match="more than names between braces"):
            trigger(route)


def test_values_of_one_name_are_joined_and_empty_ones_are_gone(client: httpx.Client) -> None:
    told = client.get("/api/a/b?x=1&x=2%2C3&y=&z", headers=[("h", "1"), ("h", "2")]).json()
    assert told["query"] == {"x": "1,2,3"}
    assert told["headers"]["h"].replace(" ", "") == "1,2"


def test_keys_are_asked_for_by_level(client: httpx.Client) -> None:
    client.headers.clear()
    assert client.get("/api/a/b").status_code == 200
    assert client.get("/api/a/c").status_code == 401
    assert client.get("/api/a/c?code=k").status_code == 200


def test_what_is_over_the_limits_waits_or_is_refused(
    client: httpx.Client, worker: EchoWorker
) -> None:
    worker.go.clear()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(client.get, "/api/a/b") for _ in range(5)]
        while sum(one.done() for one in asked) < 2:
            assert not threading.Event().wait(0.01)
        assert {one.result().status_code for one in asked if one.done()} == {429}
        worker.go.set()
        found = sorted(one.result(30).status_code for one in asked)
    assert found == [200, 200, 200, 429, 429]
    assert worker.most == 2
    assert client.get("/api/a/b").status_code == 200
