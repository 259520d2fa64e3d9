"""A short fuzz run with a fixed seed, that the fuzzer sees what it looks for, and what it has
found.

The long run: python -m tests.fuzz --requests 100000
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.codecs import DECODERS
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.wire import JSON, Request, Response
from tests.fuzz import checks, fuzz, mutations, scorers, valid
from tests.fuzz.__main__ import GROWTH, describe
from tests.fuzz.models import NAMES
from tests.fuzz.run import parameters_of

EACH = 250  # requests a model; `python -m tests.fuzz` sends more


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, scoring.Scorer]:
    return scorers(tmp_path_factory.mktemp("models"))


def test_whatever_is_sent_is_answered_as_documented(loaded: dict[str, scoring.Scorer]) -> None:
    outcome = fuzz(loaded, EACH * len(loaded), seed=1)
    assert outcome.failures == [], describe(outcome)
    assert outcome.growth < GROWTH, describe(outcome)


@pytest.mark.parametrize("name", NAMES)
def test_each_model_is_fuzzed_from_requests_that_it_answers(
    loaded: dict[str, scoring.Scorer], name: str
) -> None:
    for number in range(20):
        body = valid.body(JSON, valid.payload(name, Random(number)), Random(number))  # noqa: S311
        response = loaded[name].handle(Request(body))
        assert response.status == 200, response.body


def test_each_media_type_has_a_form_from_which_it_is_fuzzed() -> None:
    assert set(valid.FORMS) == set(DECODERS)


def test_a_request_is_the_same_each_time_its_seed_is_given() -> None:
    first, again = (
        mutations.request("text-classification", ("top_k",), Random("7"))  # noqa: S311
        for _ in range(2)
    )
    assert first == again


def test_a_models_own_parameters_are_fuzzed(loaded: dict[str, scoring.Scorer]) -> None:
    assert "targets" in parameters_of("fill-mask", loaded["fill-mask"])
    assert all(parameters_of(name, scorer) for name, scorer in loaded.items())


class Broken:
    """A task with the fault that its request names."""

    accepts = (JSON,)

    def answer(self, payload: Any) -> Any:
        text = json.dumps(payload)
        if "boom" in text:
            raise RuntimeError("internal detail")
        raise InvalidValue(f"cannot score {text}")


def test_a_fault_is_found_and_its_request_made_small() -> None:
    broken = scoring.Scorer(ModelSpec("broken", "text-classification"), Broken())
    outcome = fuzz({"text-classification": broken}, 300, seed=3, enough=1)
    assert "repeats 100 characters of the request" in outcome.failures[0].problem
    assert len(outcome.failures[0].request.body) < 300
    assert '--seed 3 --model "text-classification" --only' in describe(outcome)


@pytest.mark.parametrize(
    ("response", "names"),
    [
        (Response(500, b'{"error": {"code": "internal", "message": "it broke"}}'), "500: it broke"),
        (
            Response(418, b'{"error": {"code": "invalid_body", "message": "no"}}'),
            "status 418 with code invalid_body",
        ),
        (Response(400, b'{"error": {"code": "odd", "message": "no"}}'), "status 400 with code odd"),
        (Response(400, b'{"detail": "no"}'), "is not {error: {code, message}}"),
        (Response(400, b"no", "text/plain"), "an error as text/plain"),
        (
            Response(
                400, b'{"error": {"code": "invalid_body", "message": "File \\"a.py\\", line 1"}}'
            ),
            "a message with",
        ),
        (Response(200, b'{"score": NaN}'), "the answer is not application/json"),
        (Response(200, b"[]", headers={"X-Request-Id": "a\r\nb"}), "header X-Request-Id"),
    ],
)
def test_what_an_answer_must_not_be_is_seen(response: Response, names: str) -> None:
    assert names in str(checks.problem(Request(b""), response))


def test_the_models_own_infinity_is_a_documented_500(loaded: dict[str, scoring.Scorer]) -> None:
    request = Request(b'{"inputs": {"x": [[1e30]], "k": [[0]]}}')
    response = loaded["tensors"].handle(request)
    assert response.status == 500
    assert checks.problem(request, response) is None


# Found by fuzzing
# --------------------------------------------------------------------------------


def test_a_long_unknown_parameter_is_named_by_its_beginning(
    loaded: dict[str, scoring.Scorer],
) -> None:
    body = json.dumps({"inputs": "good", "parameters": {"k" * 5000: 1}}).encode()
    message = json.loads(loaded["text-classification"].handle(Request(body)).body)["error"][
        "message"
    ]
    assert f"unknown parameter(s) '{'k' * 40}'; known" in message


@pytest.mark.parametrize(
    ("name", "payload", "field"),
    [
        ("tensors, strings", {"inputs": {"x": ["a", "\ud800"]}}, "inputs.x"),
        (
            "fill-mask",
            {"inputs": "the [MASK]", "parameters": {"targets": ["\ud800"]}},
            "parameters.targets",
        ),
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_strings_go(
    loaded: dict[str, scoring.Scorer], name: str, payload: Any, field: str
) -> None:
    response = loaded[name].handle(Request(json.dumps(payload).encode()))
    assert response.status == 400
    assert (
        f"'{field}' holds half of a surrogate pair" in json.loads(response.body)["error"]["message"]
    )
