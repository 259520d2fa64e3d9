"""One line a request on the logger "scoring", the same to the client as headers; nothing of the
payload in either."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry import scoring
from onnxferry.scoring import cpu, timing
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.scorer import log_requests, request_id
from onnxferry.scoring.wire import ID_HEADERS, Request
from tests import tiny

PAYLOAD = "rebecca"


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.question_answering(tmp_path_factory.mktemp("model")))


def line(
    scorer: scoring.Scorer, request: Request, caplog: pytest.LogCaptureFixture
) -> dict[str, Any]:
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="scoring"):
        scorer.handle(request)
    (record,) = (r for r in caplog.records if r.levelno == logging.INFO)
    data: dict[str, Any] = json.loads(record.getMessage())
    return data


def test_a_host_without_requests_leaves_a_line_too(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    for question, status, code in ((tiny.QUESTION, 200, None), (PAYLOAD, 400, "invalid_type")):
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, logger="scoring"),
            suppress(scoring.ScoringError),
            scorer.logged(),
        ):
            scorer.answer({"inputs": question})
        (record,) = caplog.records
        got = json.loads(record.getMessage())
        assert (got["status"], got["code"], got["items"]) == (status, code, 1)
        assert len(got["id"]) == 32
        assert got["ms"]["total"] > 0


@pytest.mark.parametrize(
    ("payload", "items"),
    [
        (tiny.QUESTION, 1),
        ({"inputs": tiny.QUESTION}, 1),
        ({"question": ["who", "when"], "context": ["a b", "c d"]}, 2),
        ({"question": ["who", "when"], "context": "a b"}, 2),
    ],
)
def test_questions_are_counted_once_in_every_form(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture, payload: Any, items: int
) -> None:
    got = line(scorer, Request(json.dumps(payload).encode()), caplog)
    assert (got["status"], got["items"]) == (200, items)


def test_a_request_leaves_one_line(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"inputs": [tiny.QUESTION, {"question": "who", "context": PAYLOAD}]}).encode()
    got = line(scorer, Request(body, id="order-7"), caplog)
    stages = got.pop("ms")
    assert got == {
        "id": "order-7",
        "model": "tiny-qa",
        "task": "question-answering",
        "status": 200,
        "code": None,
        "cpu": cpu.kind() or "unknown",
        "items": 2,
        "tokens": 22,
        "batch": 1,
    }
    assert list(stages) == [*timing.STAGES, "total"]
    assert stages.pop("total") == pytest.approx(sum(stages.values()), abs=0.01)
    assert PAYLOAD not in caplog.text


def test_a_refusal_leaves_its_code(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    got = line(scorer, Request(json.dumps({PAYLOAD: PAYLOAD}).encode()), caplog)
    assert (got["status"], got["code"], got["items"], got["ms"]["engine"]) == (
        400,
        "missing_field",
        0,
        0.0,
    )
    assert PAYLOAD not in caplog.text


def test_a_defect_is_logged_with_its_traceback_under_the_requests_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        accepts = ("application/json",)

        def answer(self, payload: Any) -> Any:
            raise RuntimeError("a defect")

    got = line(scoring.Scorer(ModelSpec("x", "y"), Broken()), Request(b"1", id="order-8"), caplog)
    assert (got["status"], got["code"]) == (500, "internal")
    assert "request order-8: unexpected failure" in caplog.text
    assert "RuntimeError: a defect" in caplog.text


def test_an_observer_is_told_of_each_request(tmp_path: Path) -> None:
    told: list[tuple[int, int, int, int, str | None]] = []

    def observe(metrics: timing.RequestMetrics, status: int, code: str | None) -> None:
        assert set(metrics.seconds) == set(timing.STAGES)
        assert sum(metrics.seconds.values()) > 0
        told.append((metrics.items, metrics.tokens, metrics.batch, status, code))

    scorer = scoring.load(tiny.text_classification(tmp_path / "m"), observer=observe)
    scorer.handle(Request(b'{"inputs": ["good day", "bad day"]}'))
    scorer.handle(Request(b"{}"))
    with suppress(scoring.ScoringError), scorer.logged():
        scorer.answer({"inputs": 1})
    assert told == [
        (2, 8, 2, 200, None),
        (0, 0, 0, 400, "missing_field"),
        (1, 0, 0, 400, "invalid_type"),
    ]


def test_the_client_gets_id_times_and_the_hosts_cpu(scorer: scoring.Scorer) -> None:
    response = scorer.handle(Request(b"{}", id="order-7"))
    assert response.headers["X-Request-Id"] == "order-7"
    assert response.headers["X-Cpu-Kind"] == (cpu.kind() or "unknown")
    assert [
        entry.partition(";dur=")[0] for entry in response.headers["Server-Timing"].split(", ")
    ] == [*timing.STAGES]


def test_a_request_without_an_id_gets_one_of_its_own(scorer: scoring.Scorer) -> None:
    ids = {scorer.handle(Request(b"{}")).headers["X-Request-Id"] for _ in range(5)}
    assert len(ids) == 5
    assert {len(i) for i in ids} == {32}


@pytest.mark.parametrize("name", ID_HEADERS)
def test_an_id_is_taken_from_each_platforms_header(name: str) -> None:
    assert Request.of(b"", {name.title(): "order-7"}).id == "order-7"


@given(st.text())
def test_an_id_is_safe_in_a_header_and_a_log(given_id: str) -> None:
    made = request_id(given_id)
    assert 1 <= len(made) <= 128
    assert all("!" <= character <= "~" for character in made)


def test_an_id_cannot_forge_a_line_or_a_header() -> None:
    assert request_id('a\r\nSet-Cookie: x\n{"id": 1}') == 'aSet-Cookie:x{"id":1}'
    assert request_id("é" * 200 + "a" * 200) == "a" * 128


def test_a_host_that_logs_warnings_alone_stays_silent(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="scoring"):
        scorer.handle(Request(b"{}"))
    assert caplog.records == []


def test_log_requests_keeps_a_level_that_was_set() -> None:
    logger = logging.getLogger("scoring")
    before = logger.level
    try:
        logger.setLevel(logging.ERROR)
        log_requests()
        assert logger.level == logging.ERROR
        logger.setLevel(logging.NOTSET)
        log_requests()
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)


def test_requests_in_several_threads_count_for_themselves(
    scorer: scoring.Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [json.dumps({"inputs": [tiny.QUESTION] * n}).encode() for n in range(1, 9)]
    with caplog.at_level(logging.INFO, logger="scoring"), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: scorer.handle(Request(bodies[n], id=str(n))), range(8)))
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert {int(each["id"]): each["items"] for each in lines} == {n: n + 1 for n in range(8)}


def test_stages_follow_one_another_and_nothing_counts_twice() -> None:
    with timing.measuring() as figures:
        timing.switch("preprocess")
        with timing.stage("engine"), timing.stage("postprocess"):
            pass
        assert figures.switch("encode") == "preprocess"
        timing.count(items=2, tokens=3)
        before = sum(figures.seconds.values())
    assert (figures.items, figures.tokens) == (2, 3)
    assert before <= sum(figures.milliseconds().values())


def test_outside_of_a_request_nothing_is_counted() -> None:
    seen = []

    def work() -> None:
        timing.count(items=1)
        timing.switch("engine")
        with timing.stage("engine"):
            seen.append("done")

    with timing.measuring() as figures:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert (seen, figures.items, figures.seconds["engine"]) == (["done"], 0, 0.0)
