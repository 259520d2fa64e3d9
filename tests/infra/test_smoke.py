"""The golden request decides whether a version may take traffic; waits end."""

from __future__ import annotations

import json

import pytest

from onnxferry.infra.errors import NotFound, NotHealthy, TimedOut, WrongAnswer
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.infra.waiting import Clock, wait
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

GOLDEN = Golden(Request(b'{"inputs": "x"}'), [{"label": "joy", "score": 0.9}])


def reply(body: bytes, status: int = 200) -> Reply:
    return Reply(status, body, "application/json", 0.01, "blue")


def test_the_golden_answer_passes_within_the_tolerance() -> None:
    assert (
        smoke(GOLDEN, lambda request: reply(b'[{"label": "joy", "score": 0.90001}]'), "here").status
        == 200
    )


@pytest.mark.parametrize("body", [b'[{"label": "joy", "score": 0.8}]', b"hello", b"[]"])
def test_another_answer_shows_both(body: bytes) -> None:
    with pytest.raises(WrongAnswer) as caught:
        smoke(GOLDEN, lambda request: reply(body), "deployment blue")
    assert "deployment blue" in str(caught.value)
    assert '[{"label": "joy", "score": 0.9}]' in str(caught.value)
    assert body.decode() in str(caught.value)


def test_a_refusal_is_not_health() -> None:
    with pytest.raises(NotHealthy, match="status 503: busy"):
        smoke(GOLDEN, lambda request: reply(b"busy", 503), "here")


def test_all_golden_requests_are_sent_and_the_failing_one_is_named() -> None:
    bodies = [b'{"inputs": "x"}', b'{"inputs": "y"}', b'{"inputs": "z"}']
    one, two, three = (Golden(Request(body), i, f"{i}.json") for i, body in enumerate(bodies))
    given = Golden(one.request, one.answer, one.name, others=(two, three))
    sent: list[bytes] = []

    def send(request: Request, answers: tuple[bytes, ...] = (b"0", b"1", b"2")) -> Reply:
        sent.append(request.body)
        return reply(answers[bodies.index(request.body)])

    kept = golden_in(ModelSpec("m", "tensors", golden=given).to_json().encode(), "here")
    assert smoke(kept, send, "here").body == b"2"
    assert sent == bodies
    with pytest.raises(WrongAnswer, match=r"golden request 2\.json differs"):
        smoke(kept, lambda request: send(request, (b"0", b"1", b"3")), "here")


def test_what_was_kept_before_there_were_tolerances_is_compared_within_the_usual_one() -> None:
    old = b'{"format": 1, "name": "m", "task": "t", "golden": {"body": "{}", "answer": 0.5}}'
    kept = golden_in(old, "here")
    assert (kept.tolerance, kept.cpu, kept.all) == (1e-4, "", (kept,))
    smoke(kept, lambda request: reply(b"0.50005"), "here")
    with pytest.raises(WrongAnswer, match="prepared on unknown"):
        smoke(kept, lambda request: reply(b"0.5002"), "here")


MANY = {"body": "{}", "answer": 1, "others": [{"body": "{}", "answer": 1}] * 20}
TOO_MANY = json.dumps({"format": 1, "name": "m", "task": "t", "golden": MANY}).encode()


@pytest.mark.parametrize("kept", [b"", b"{}", b'{"format": 1}', b"\xff", TOO_MANY])
def test_a_damaged_golden_request_is_a_message(kept: bytes) -> None:
    with pytest.raises(NotFound, match=r"s3://bucket/golden\.json: no .*deploy that version again"):
        golden_in(kept, "s3://bucket/golden.json")


class Hours:
    """A clock that does not wait."""

    def __init__(self) -> None:
        self.time = 0.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.time, self.sleep, 5.0)


def test_a_wait_says_what_it_waits_for() -> None:
    states = iter(["Creating", "Creating", None])
    notes: list[str] = []
    wait("endpoint squad", lambda: next(states), 60, notes.append, Hours().clock)
    assert notes == ["Creating, 0 s of at most 60 s", "Creating, 5 s of at most 60 s"]


def test_a_wait_has_a_limit() -> None:
    with pytest.raises(TimedOut, match=r"endpoint squad: still Creating after 65 s.*wait_minutes"):
        wait("endpoint squad", lambda: "Creating", 60, lambda text: None, Hours().clock)


def test_a_log_is_shown_by_its_end() -> None:
    text = str(WrongAnswer("it died").with_log("\n".join(map(str, range(100))), lines=3))
    assert text == "it died\nThe end of its log:\n97\n98\n99"
