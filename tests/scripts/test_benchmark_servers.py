"""The load generator and the benchmark of servers, against small servers that answer, refuse, stand
still, or mix up answers. No figure is asserted that a clock has a say in, but for least waits."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxferry.scripts.benchmark.__main__ import command as main
from onnxferry.scripts.benchmark.server import load, protocols, specs
from onnxferry.scripts.benchmark.server.load import LoadPlan
from tests.scripts import answering_server
from tests.scripts.answering_server import SLOW, Answers, fresh

ROOT = Path(__file__).parents[2]


@contextmanager
def serving() -> Iterator[tuple[str, type[Answers]]]:
    handler = fresh()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as (found, _):
        yield found


BODIES = tuple(json.dumps({"inputs": text}).encode() for text in "abc")


def test_each_answer_counts_once_and_texts_are_asked_in_turn() -> None:
    with serving() as (url, handler):
        done = load.run(LoadPlan(f"{url}/ok", BODIES, 0.2, clients=3, kept=2))
        assert done.asked == handler.seen["/ok"] >= 3
    assert not done.errors
    # what is answered after the end does not count
    assert 0 <= done.asked - len(done.latencies) <= 3
    assert {number for number, _ in done.kept} == {0, 1}
    assert all(protocols.read(body) == "abc"[number] for number, body in done.kept)
    assert done.rate == pytest.approx(len(done.latencies) / 0.2)
    assert done.cpu > 0


@pytest.mark.parametrize(
    ("path", "kind"), [("fails", "500"), ("drop", "ServerDisconnectedError"), (None, "Connect")]
)
def test_errors_are_no_answers(url: str, path: str | None, kind: str) -> None:
    where = f"{url}/{path}" if path else "http://127.0.0.1:1"
    for arrivals in (None, (0.0, 0.001, 0.002)):
        done = load.run(LoadPlan(where, BODIES, 0.05, arrivals=arrivals, kept=3))
        assert (done.latencies, done.rate, done.kept) == ((), 0, ())
        (name,) = done.errors
        assert kind in name
        assert done.errors[name] == done.asked >= 1


def test_arrivals_count_from_when_they_were_planned(url: str) -> None:
    """Five at once at a server that takes one at a time: the last waited for all of them."""
    done = load.run(LoadPlan(f"{url}/slow", BODIES, 1, arrivals=(0.0,) * 5))
    waits = sorted(done.latencies)
    assert len(waits) == 5
    assert all(wait >= SLOW * place for place, wait in enumerate(waits, 1))


def test_a_late_generator_does_not_flatter_the_server(url: str) -> None:
    """What should have been sent ten seconds ago has waited for ten seconds."""
    done = load.run(LoadPlan(f"{url}/ok", BODIES, 1, warm_up=-100, arrivals=(-10.0, 0.0)))
    assert min(done.late) >= 0
    assert max(done.late) >= 10 and max(done.latencies) >= 10 > min(done.latencies)


def test_what_is_asked_in_the_warm_up_does_not_count(url: str) -> None:
    plan = LoadPlan(f"{url}/ok", BODIES, 0.1, warm_up=0.05, arrivals=(0.0, 0.01, 0.06, 0.07))
    done = load.run(plan)
    assert (done.asked, len(done.latencies)) == (4, 2)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([{"label": "joy", "score": 0.2}, {"label": "fear", "score": 0.7}], "fear"),
        ([[{"label": "joy", "score": 0.2}]], "joy"),
        ({"data": [[{"label": "joy", "score": 0.2}]], "model": "m"}, "joy"),
        ({"outputs": [{"data": ['{"label": "joy", "score": 0.9}']}]}, "joy"),
        ({"answer": "42", "score": 0.1}, "42"),
        ({"data": [{"embedding": [0.6, 0.8], "index": 0}]}, (0.6, 0.8)),
        ({"something": 1}, '{"something": 1}'),
    ],
)
def test_answers_are_read_without_knowing_the_protocol(body: Any, says: protocols.Answer) -> None:
    assert protocols.read(json.dumps(body).encode()) == says


def test_vectors_are_the_same_by_their_direction() -> None:
    assert protocols.same((0.6, 0.8), (3.0, 4.0))
    assert not protocols.same((0.6, 0.8), (0.8, 0.6))
    assert not protocols.same((0.6, 0.8), (0.6, 0.8, 0.0))
    assert protocols.same("joy", "joy") and not protocols.same("joy", (1.0, 2.0))


def test_a_body_for_each_protocol_carries_the_text() -> None:
    for protocol in protocols.PROTOCOLS.values():
        assert b'"say \\"$MODEL\\""' in protocol.ask('say "$MODEL"', "m")


def test_the_peers_of_the_examples_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERS", "/peers")
    folder = ROOT / "examples" / "servers"
    kinds = specs.kinds(folder / "peers.yaml")
    for name, kind in kinds.items():
        (spec,) = specs.parse([f"{name}@{folder}"], kinds)
        words = spec.command(1234)
        assert any("1234" in word for word in words)
        assert all((folder / w).is_file() for w in words if w.endswith(".py"))
        assert (folder / "requirements" / f"{name}.txt").is_file() or name == "onnxferry"
        assert "$" not in spec.budget and kind.protocol in protocols.PROTOCOLS


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"text {i}\t{i}\n" for i in range(40)))
    return path


@pytest.fixture
def peers(tmp_path: Path) -> Path:
    command = [sys.executable, answering_server.__file__, "$PORT"]
    kind = {"command": command, "budget": "it is $WHO", "environment": {"WHO": "nobody"}}
    path = tmp_path / "peers.yaml"
    path.write_text(json.dumps({"small": kind}))
    return path


@pytest.mark.host
def test_servers_take_turns_and_the_document_tells_all_but_the_key(
    texts: Path, peers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    out, export = tmp_path / "out.md", tmp_path / "out.json"
    started = [f"small:name={who},WHO={who}@{tmp_path}" for who in ("one", "two")]
    with serving() as (url, handler):
        broken = f"small:name=broken,WHO=broken@{tmp_path}"
        asked = [w for each in (*started, broken, f"{url}/mixed") for w in ("--server", each)]
        loads = ["--clients", "1,2", "--rate", 50, "--time", 0.2, "--warm-up", 0, "--rounds", 2]
        where = ["--peers", peers, "--data", texts, "--out", out, "--export", export]
        done = run(*asked, *loads, *where, "--header", "X-Key: secret")
        assert done.exit_code == 0, done.output
        assert handler.keys == {"secret"}
    assert (tmp_path / "log").read_text().split() == ["one", "two", "broken", "two", "one"]
    assert "it cannot start" in done.stderr
    one, two, mixed = json.loads(export.read_text())["servers"]
    for server in (one, two):
        assert server["may_use"] == f"it is {server['name']}"
        for each in server["rounds"]:
            assert each["start_seconds"] > 0
            assert list(each["steps"]) == ["1 client", "2 clients", "50/s"]
            for step in each["steps"].values():
                assert step["answers"] > 0 == step["other_answers"] and not step["errors"]
                assert step["processes"] == 1 and step["memory_bytes"] > 2**20
                assert step["server_cpu_seconds"] >= 0
    assert mixed["rounds"][0]["steps"]["2 clients"]["other_answers"] > 0
    document = out.read_text()
    for told in ("## Servers", "Right answers a second", "it is two", "measured: broken."):
        assert told in document
    assert "secret" not in document + export.read_text() + done.output
    assert "--header" not in document and str(tmp_path) not in document


@pytest.mark.host
def test_a_server_that_does_not_start_says_why(
    texts: Path, peers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    given = ["--server", f"small:WHO=broken@{tmp_path}", "--peers", peers, "--data", texts]
    done = run(*given)
    assert done.exit_code == 1
    assert "it cannot start" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--server", "nowhere"], "a URL, PROTOCOL@URL or KIND@FOLDER"),
        (["--server", "soap@http://127.0.0.1:1"], "there are onnxferry"),
        (["--server", "small@{here}"], "where KIND is onnxferry"),
        (["--server", "onnxferry@{here}/none"], "no folder"),
        (["--server", "onnxferry:fast@{here}"], "OPTION=VALUE"),
        (["--server", "http://127.0.0.1:1", "--server", "http://127.0.0.1:1"], "name them"),
        (["--server", "http://127.0.0.1:1", "--clients", "1,x"], "integers above 0"),
        (["--server", "http://127.0.0.1:1", "--bare", "{here}"], "--bare goes with --idle"),
        (["--server", "http://127.0.0.1:1", "--header", "secret"], "'NAME: VALUE'"),
        (["--server", "onnxferry@{here}", "--peers", "{here}/texts.tsv"], "expected kinds"),
    ],
)
def test_what_is_wrong_is_said(
    texts: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    given = [argument.format(here=tmp_path) for argument in arguments]
    done = run(*given, "--data", texts)
    assert done.exit_code == 2, done.output
    assert says in done.stderr and "secret" not in done.stderr.partition(says)[2]
