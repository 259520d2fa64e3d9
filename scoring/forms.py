"""The form of requests and answers: a protocol's shape of bodies and errors around one scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from onnxferry.scoring import codecs, timing
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.wire import Request, Response

if TYPE_CHECKING:
    from onnxferry.scoring.scorer import Scorer


class Form(Protocol):
    """What Scorer.handle needs of a protocol. It holds no state: one serves all requests."""

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """The answer to `request`, whose body is scorer.body(request). Raises ScoringError."""

    def refusal(self, error: ScoringError) -> Any:
        """The JSON data of the body that tells an error."""


class PipelineForm:
    """Bodies as clients of transformers' pipelines send them, in every media type of codecs."""

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        media_types = codecs.negotiate(request.accept)
        payload = codecs.decode(scorer.body(request), request.content_type, scorer.task.accepts)
        timing.switch("preprocess")
        answer = scorer.task.answer(payload)
        timing.switch("encode")
        return Response(200, *codecs.encode(answer, media_types))

    def refusal(self, error: ScoringError) -> Any:
        """{"error": {"code", "message"}}."""
        return {"error": {"code": error.code, "message": str(error)}}


PIPELINE = PipelineForm()
