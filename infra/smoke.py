"""The smoke test: a version must answer the model's golden requests before it takes traffic."""

from __future__ import annotations

from collections.abc import Callable

from onnxferry.infra.errors import NotFound, NotHealthy, WrongAnswer
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import SPEC_FILE, Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, mismatch


def smoke(golden: Golden, send: Callable[[Request], Reply], where: str) -> Reply:
    """The last reply to all golden requests, sent by `send` in their order. Raises NotHealthy when
    one is refused and WrongAnswer, with both answers, when it differs from the golden answer."""
    for each in golden.all:
        reply = send(each.request)
        found = mismatch(each, reply)
        if found and reply.status != 200:
            raise NotHealthy(f"{where}: {found}")
        if found:
            advice = "Rehearse the package; compare pins.txt with provenance.tools in"
            raise WrongAnswer(f"{where}: {found}\n{advice} {SPEC_FILE}")
    return reply


def golden_in(text: bytes, where: str) -> Golden:
    """The golden requests in a model_spec.json kept at `where`. Raises NotFound without one."""
    try:
        found = ModelSpec.parse(text, SPEC_FILE).golden
    except ModelError as e:
        raise NotFound(f"{where}: no model's manifest ({e}); deploy that version again") from e
    if found is None:
        raise NotFound(f"{where}: no golden request to prove it by; deploy that version again")
    return found
