"""The smoke test: a version must answer the model's golden request before it takes traffic."""

from __future__ import annotations

from collections.abc import Callable

from onnxferry.infra.errors import NotFound, NotHealthy, WrongAnswer
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import SPEC_FILE, Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply, mismatch


def smoke(golden: Golden, send: Callable[[Request], Reply], where: str) -> Reply:
    """Send the golden request by `send`; return the reply if it is the golden answer.

    Numbers may differ by 1e-4. Raises NotHealthy when the request is refused and WrongAnswer, with
    both answers, when it is answered otherwise.
    """
    reply = send(golden.request)
    found = mismatch(golden, reply)
    if found and found.refused:
        raise NotHealthy(f"{where}: {found.text}")
    if found:
        raise WrongAnswer(
            f"{where}: {found.text}\nRehearse the package, and compare pins.txt with 'tools' in"
            " model_spec.json"
        )
    return reply


def golden_in(text: bytes, where: str) -> Golden:
    """The golden request in a model_spec.json that is kept at `where`. Raises NotFound when it
    holds none."""
    try:
        found = ModelSpec.parse(text, SPEC_FILE).golden
    except ModelError as e:
        raise NotFound(f"{where}: no model's manifest ({e}); deploy that version again") from e
    if found is None:
        raise NotFound(f"{where}: no golden request to prove it by; deploy that version again")
    return found
