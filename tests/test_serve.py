"""`onnxferry serve`: a model directory on this machine, in an environment of the local server."""

from __future__ import annotations

import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from onnxferry.scripts.rehearse import find_python
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.local import RUNTIME
from onnxferry.system.cache import cache_folder
from tests.eventually import eventually
from tests.packages import quiet
from tests.targets.served import ANSWER, GOLDEN, HERE, built

ROOT = Path(__file__).parent.parent


@pytest.mark.host
def test_a_model_directory_is_served_until_a_signal(tmp_path: Path) -> None:
    unpacked = RUNTIME.unpack(built("local", tmp_path), tmp_path)
    python = find_python(HERE)
    assert python
    installs = RUNTIME.installs(unpacked, HERE)
    venv = environment(f"local-{HERE}", python, installs, cache_folder(), quiet)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [venv / "bin" / "python", "-m", "onnxferry", "serve", unpacked.model]
    process = subprocess.Popen([*map(str, command), "--port", str(port)], cwd=ROOT)
    try:
        # tries to connect again for half a minute
        with httpx.Client(transport=httpx.HTTPTransport(retries=7)) as client:
            url = f"http://127.0.0.1:{port}/score"
            assert eventually(lambda: client.get(url.replace("score", "ping")).is_success)
            assert client.post(url, content=GOLDEN.request.body).content == ANSWER
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        process.kill()
