"""A rehearsed host's network: cut off where the machine lets it, and said as it is."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.scripts.rehearse import Conditions, rehearse
from onnxferry.scripts.rehearse.network import Network, choose, refusal
from onnxferry.scripts.rehearse.processes import running
from onnxferry.system.errors import RehearsalError
from tests.packages import quiet
from tests.targets.served import ANSWER, built

LACKING = refusal()
cuts = pytest.mark.skipif(bool(LACKING), reason=f"no network can be cut off here: {LACKING}")

# says what happens when it calls an address, then answers on its port
CALLER = """
import socket, sys
try:
    socket.create_connection((sys.argv[2], int(sys.argv[3])), timeout=5).close()
    print("connected", flush=True)
except OSError as e:
    print(e, flush=True)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        with listener.accept()[0] as one:
            one.sendall(one.recv(1000)[::-1])
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something to reach in this machine's network."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def called(network: Network, address: tuple[str, int], folder: Path) -> tuple[bytes, str]:
    """What CALLER says of `address`, and its answer to "abc" from outside."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = network.command(port, sys.executable, "-c", CALLER, port, *address)
    with running(command, env=os.environ, cwd=folder, log=folder / "log"):
        return asked(port), (folder / "log").read_text().strip()


def asked(port: int) -> bytes:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(b"abc")
            one.shutdown(socket.SHUT_WR)
            if answer := one.recv(1000):
                return answer
        time.sleep(0.05)
    return b""


@cuts
@pytest.mark.parametrize("address", [("127.0.0.1", 0), ("192.0.2.1", 9)], ids=["here", "far"])
def test_a_program_that_is_cut_off_answers_and_reaches_nothing(
    listener: socket.socket, tmp_path: Path, address: tuple[str, int]
) -> None:
    host, port = address
    answer, said = called(choose(False), (host, port or listener.getsockname()[1]), tmp_path)

    assert answer == b"cba"
    assert said in ("[Errno 111] Connection refused", "[Errno 101] Network is unreachable")


def test_a_program_that_is_not_cut_off_reaches_what_is_there(
    listener: socket.socket, tmp_path: Path
) -> None:
    assert called(choose(True), listener.getsockname(), tmp_path) == (b"cba", "connected")


@cuts
@pytest.mark.host
def test_a_package_that_calls_out_fails_and_passes_only_where_it_may(
    listener: socket.socket, tmp_path: Path
) -> None:
    package = built("azureml", tmp_path)
    folder = shutil.copytree(package.path, tmp_path / "calling")
    call = f"import socket\nsocket.create_connection({listener.getsockname()}, 5).close()\n"
    script = folder / "code" / "score.py"
    text = script.read_text().replace("    log_requests()\n", "    log_requests()\n    call()\n")
    script.write_text(text + "\n\ndef call():\n    " + call.replace("\n", "\n    "))
    calling = replace(package, path=folder)

    with pytest.raises(RehearsalError, match="Connection refused"):
        rehearse(calling, conditions=Conditions(egress=False), report=quiet)

    done = rehearse(calling, (), 2, Conditions(egress=True), report=quiet)
    assert done.answer == ANSWER
    assert done.network.startswith("open")


def test_where_it_cannot_be_cut_off_that_is_said_and_proxies_refuse() -> None:
    network = choose(None, lambda: "unshare: Operation not permitted")

    assert network.said.startswith("NOT cut off")
    assert network.said.endswith("unshare: Operation not permitted")
    assert network.command(1, "program") == ("program",)
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", int(network.variables["HTTPS_PROXY"].rpartition(":")[2])))


def test_no_egress_where_it_cannot_be_cut_off_is_an_error() -> None:
    with pytest.raises(RehearsalError, match=r"cannot be cut off on this machine \(no such call\)"):
        choose(False, lambda: "no such call")
