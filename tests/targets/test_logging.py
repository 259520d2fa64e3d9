"""Every host's log has a line a request, with the id that the client gets back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from onnxferry.scoring import ModelSpec, Request, cpu
from onnxferry.scripts.rehearse import Host
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.targets import TARGETS
from tests.eventually import eventually
from tests.targets.served import GOLDEN, serving

# its model server has an X-Request-Id of its own
BACK = {"sagemaker": "X-Amzn-SageMaker-Custom-Attributes"}
# MLflow's server hands the model no headers, and takes none from it; a container's is the local one
WITH_HEADERS = sorted(set(TARGETS) - {"container", "mlflow"})
pytestmark = pytest.mark.host


def logged(host: Host) -> list[dict[str, Any]]:
    lines = host.log_tail(60).splitlines()
    found = [json.loads(line[line.index('{"id"') :]) for line in lines if '{"id": ' in line]
    return [line for line in found if line["id"] != "golden"]  # the local server's own, at start


@pytest.mark.parametrize("target", WITH_HEADERS)
def test_a_request_can_be_found_in_the_log_by_its_id(target: str, tmp_path: Path) -> None:
    with serving(target, tmp_path) as host, httpx.Client(trust_env=False, timeout=60) as client:
        headers = {
            "Content-Type": "application/json",
            "X-Request-Id": "order-7",
            "Accept-Encoding": "identity",
        }
        given = client.post(host.url, content=GOLDEN.request.body, headers=headers)
        del headers["X-Request-Id"]
        made = client.post(host.url, content=b"{}", headers=headers)
        # a model server copies a worker's lines into its log on its own time, after the answer
        assert eventually(lambda: len(logged(host)) >= 2), host.log_tail(60)
        lines = logged(host)
    found = {line["id"]: line for line in lines}
    assert len(lines) == 2
    assert given.headers[BACK.get(target, "X-Request-Id")] == "order-7"
    assert (found["order-7"]["status"], found["order-7"]["items"], found["order-7"]["code"]) == (
        200,
        1,
        None,
    )
    refused = found[made.headers["X-Request-Id"]]
    assert (refused["status"], refused["code"]) == (400, "missing_field")
    assert "engine;dur=" in given.headers["Server-Timing"]
    kind = cpu.kind() or "unknown"
    assert (given.headers["X-Cpu-Kind"], found["order-7"]["cpu"]) == (kind, kind)


def test_mlflows_log_has_a_line_a_request_with_an_id_that_is_made_here(tmp_path: Path) -> None:
    with serving("mlflow", tmp_path) as host:
        request = runtime_of("mlflow").wire.request(ModelSpec.read(host.model_dir), GOLDEN.request)
        statuses = [host.send(one).status for one in (request, Request(b"{}"))]
        assert eventually(lambda: len(logged(host)) >= 2), host.log_tail(60)
        answered, refused = logged(host)
    assert statuses == [200, 400] == [answered["status"], refused["status"]]
    assert (answered["code"], refused["code"]) == (None, "invalid_body")
    assert (answered["items"], answered["cpu"]) == (1, cpu.kind() or "unknown")
    assert answered["tokens"] > 0
    assert answered["ms"]["engine"] > 0
    assert len({answered["id"], refused["id"]}) == 2


@pytest.mark.parametrize("target", WITH_HEADERS)
def test_a_long_answer_comes_in_gzip_where_the_client_takes_it(target: str, tmp_path: Path) -> None:
    with serving(target, tmp_path) as host, httpx.Client(trust_env=False, timeout=60) as client:
        body = json.dumps({"inputs": ["good day"] * 50}).encode()
        plain, packed = (
            client.post(
                host.url,
                content=body,
                headers={"Content-Type": "application/json", "Accept-Encoding": coding},
            )
            for coding in ("identity", "gzip")
        )
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == plain.content
