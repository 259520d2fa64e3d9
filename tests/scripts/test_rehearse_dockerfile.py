"""A Dockerfile, read and carried out without a container engine: what it says holds, and what is
not understood is refused."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse import container, dockerfile, start
from onnxferry.system.errors import RehearsalError
from tests.eventually import eventually
from tests.packages import quiet
from tests.targets.served import HERE

NAMESPACES = pytest.mark.skipif(bool(container.refusal()), reason="no namespaces for users here")
SHARED_MEMORY = "/dev/shm/x"  # noqa: S108 - what a container may write by default
BASE = """\
ARG BASE=python:3.12-slim
FROM $BASE
WORKDIR /app
COPY server/ ./
"""
END = """\
USER 10001:10001
HEALTHCHECK --timeout=5s CMD ["python", "health.py"]
ENTRYPOINT ["python", "server.py"]
"""
SERVER = """
import http.server, json, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        def tried(path):
            try:
                open(path, "w")
            except OSError as e:
                return e.strerror
            return "written"
        seen = {"uid": os.getuid(), "pid": os.getpid(), "folder": os.getcwd(),
                "made": os.path.exists("made.txt"), "greeting": os.environ.get("GREETING"),
                "files": {p: tried(p) for p in ("/app/x", "/tmp/x", "/etc/x", "/dev/shm/x")},
                "capabilities": [line.split()[1] for line in open("/proc/self/status")
                                 if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(os.environ.get("EXIT", "0"))))
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def write(folder: Path, text: str) -> Path:
    (folder / "Dockerfile").write_text(text)
    return folder / "Dockerfile"


def context(folder: Path, text: str, health: str = "") -> Package:
    """A package with a Dockerfile, and a server of the standard library's alone."""
    (folder / "server").mkdir()
    (folder / "server" / "server.py").write_text(SERVER)
    (folder / "server" / "health.py").write_text(health)
    (folder / ".dockerignore").write_text("*\n!server\n")
    write(folder, text)
    return Package("container", "any", folder, "", 0, HERE, ())


def test_variables_continued_lines_and_comments_are_read_as_docker_reads_them(
    tmp_path: Path,
) -> None:
    text = """\
# a comment
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG BASE
WORKDIR /app
ENV A=1 \\
    # in between
    B="two words"
WORKDIR sub
ENV C=$A/$B
LABEL base="$BASE"
CMD python server.py
"""
    image = dockerfile.read(write(tmp_path, text))

    assert (image.base, image.folder) == ("python:3.12-slim", "/app/sub")
    assert image.variables == {"A": "1", "B": "two words", "C": "1/two words"}
    assert image.labels == {"base": "python:3.12-slim"}
    assert image.command == ("/bin/sh", "-c", "python server.py")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD http://x/y /", "line 5: no instruction that is rehearsed: ADD"),
        ("COPY --chmod=755 server/ ./", "line 5: .*without options"),
        ("FROM scratch", "line 5: .*second stage"),
        ("ENV A", "line 5: .*'A' has no value"),
        ('ENTRYPOINT ["python",]', "line 5: "),
        ("HEALTHCHECK NONE", "line 5: .*HEALTHCHECK --OPTION"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, line: str, said: str
) -> None:
    with pytest.raises(RehearsalError, match=said):
        dockerfile.read(write(tmp_path, f"{BASE}{line}\n"))


@pytest.mark.parametrize(
    ("middle", "end", "said"),
    [
        ("", END.replace("10001:10001", "root"), "USER by number that is not root's; got 'root'"),
        ("", END.replace("10001:10001", "0"), "got '0'"),
        ("COPY model/ model/\n", END, "COPY model/: .dockerignore does not let it through"),
        ('RUN ["python", "-c", "exit(3)"]\n', END, "RUN python -c exit.3.: exit 3"),
        ("RUN echo what went wrong; exit 4\n", END, "exit 4\nwhat went wrong"),
    ],
)
@pytest.mark.host
@NAMESPACES
def test_an_image_that_cannot_be_built_says_why(
    tmp_path: Path, middle: str, end: str, said: str
) -> None:
    package = context(tmp_path, BASE + middle + end)
    with pytest.raises(RehearsalError, match=said), start(package, report=quiet):
        pass


@pytest.mark.host
@NAMESPACES
def test_a_run_has_no_network(tmp_path: Path) -> None:
    reach = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    package = context(tmp_path, f'{BASE}RUN ["python", "-c", "{reach}"]\n{END}')
    with (
        pytest.raises(RehearsalError, match="Network is unreachable"),
        start(package, report=quiet),
    ):
        pass


@pytest.mark.host
@NAMESPACES
def test_it_runs_as_process_1_of_a_user_who_may_write_nothing(tmp_path: Path) -> None:
    import httpx

    made = "RUN echo made > made.txt\nENV GREETING=hello\n"
    with start(context(tmp_path, BASE + made + END), report=quiet) as host:
        seen = httpx.get(host.url, trust_env=False).json()

    assert (seen["uid"], seen["pid"], seen["folder"]) == (10001, 1, "/app")
    assert (seen["made"], seen["greeting"]) == (True, "hello")
    refused = "Read-only file system"
    assert {path: seen["files"][path] for path in ("/app/x", "/etc/x")} == {
        "/app/x": refused,
        "/etc/x": refused,
    }
    assert [path for path, said in seen["files"].items() if said == "written"] == [SHARED_MEMORY]
    assert seen["capabilities"] == ["0" * 16, "0" * 16, "1"]
    assert not list(tmp_path.rglob("made.txt"))  # the package is as it was


@pytest.mark.host
@NAMESPACES
@pytest.mark.parametrize(
    ("health", "variable", "said"),
    [
        ("import sys; sys.exit('not today')", "", "HEALTHCHECK: exit 1, expected 0. not today"),
        ("", "ENV EXIT=9\n", "exit 9 after SIGTERM, expected 0"),
    ],
)
def test_a_sick_or_a_stubborn_server_is_an_error(
    tmp_path: Path, health: str, variable: str, said: str
) -> None:
    package = context(tmp_path, BASE + variable + END, health)
    with start(package, report=quiet) as host, pytest.raises(RehearsalError, match=said):
        container.RUNTIME.prove(host, host.unpacked)


@pytest.mark.host
@NAMESPACES
def test_a_run_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_RUN_LIMIT", 1.0)
    package = context(tmp_path, f"{BASE}RUN exec sleep 987.5\n{END}")
    said = r"sleep 987\.5: did not end within 1 s"
    with pytest.raises(RehearsalError, match=said), start(package, report=quiet):
        pass
    assert eventually(lambda: not [p for p in psutil.process_iter() if "987.5" in _told(p)])


def _told(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.host
def test_a_machine_without_namespaces_is_told_what_else_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "container.py"
    broken.write_text("raise PermissionError('no namespaces')")
    monkeypatch.setattr(container, "_SANDBOX", broken)
    with pytest.raises(RehearsalError, match=r"no namespaces\)\. Rehearse on Linux.*docker build"):
        container.RUNTIME.check()
