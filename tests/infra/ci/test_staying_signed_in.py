"""A deployment at Azure may last longer than the token that its job signed in by."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.infra.ci.pipelines import ci, pipeline, repository
from tests.infra.ci.test_ci import all_steps

STAY = "Stay signed in"
STUBS = {  # the third pause is the end of the job
    "sleep": 'echo >> pauses; [ "$(wc -l < pauses)" -lt 3 ]',
    "az": 'echo "$@" >> signed-in',
}


@contextmanager
def tokens() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Where GitHub signs tokens, and who asked there for what."""
    asked: list[tuple[str, str | None]] = []

    class Signs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"value": f"token-{len(asked)}"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Signs)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/sign?v=2", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("target", ["azureml", "functions"])
def test_the_jobs_that_deploy_stay_signed_in(tmp_path: Path, target: str) -> None:
    ci(repository(tmp_path, target), target, "github")
    jobs = pipeline(tmp_path, "github", f"Squad-{target}")["jobs"]
    stay = {name for name, job in jobs.items() if STAY in str(job["steps"])}
    assert stay == {"deploy", "rollback"}
    ci(tmp_path, target, "azure-devops")
    stages = pipeline(tmp_path, "azure-devops", f"Squad-{target}")["stages"]
    tasks = {
        s["stage"]: t["inputs"] for s in stages for t in all_steps(s) if "AzureCLI@2" in str(t)
    }
    kept = {name for name, inputs in tasks.items() if inputs.get("keepAzSessionActive")}
    assert (set(tasks), kept) == ({"plan", "deploy", "rollback"}, {"deploy", "rollback"})


def test_it_signs_in_again_with_a_new_token_each_time(tmp_path: Path) -> None:
    ci(repository(tmp_path, "azureml"), "azureml", "github")
    steps = pipeline(tmp_path, "github", "Squad-azureml")["jobs"]["deploy"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("name") == STAY)
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    with tokens() as (url, asked):
        own = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job"}
        own |= {"CLIENT": "c", "TENANT": "t", "RUNNER_TEMP": str(tmp_path), "no_proxy": "*"}
        variables = {**os.environ, **own, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        whole = ["bash", "-c", f"{script}wait || true"]
        subprocess.run(whole, cwd=tmp_path, env=variables, check=True, timeout=120)
    assert asked == [("/sign?v=2&audience=api://AzureADTokenExchange", "bearer job")] * 2
    signed = (tmp_path / "signed-in").read_text(encoding="utf-8").splitlines()
    assert [line.split()[-3] for line in signed] == ["token-1", "token-2"]
    assert all("--username c --tenant t" in line for line in signed)
