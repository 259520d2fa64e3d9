"""OpenAI's embeddings: {"input": text or texts, "model", "encoding_format", "dimensions", "user"}
-> {"object": "list", "data": [{"object", "index", "embedding"}, ...], "model", "usage"}.

An embedding is a list of floats, or with encoding_format "base64" its float32, little-endian. The
model's own pooling and length are taken; of a model without pooling the mean.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxferry.scoring import codecs, timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import InvalidType, InvalidValue, ScoringError
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import Request, Response

FIELDS = {
    "model": Parameter(validation.string),
    "encoding_format": Parameter(validation.one_of("float", "base64"), "float"),
    "dimensions": Parameter(validation.positive),
    "user": Parameter(validation.string),
}
_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class EmbeddingsForm:
    """A Form. `model`: the name that the server has for it."""

    def __init__(self, model: str = "") -> None:
        self._model = model

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        data = codecs.decode(scorer.body(request), request.content_type, (JSON,))
        body = validation.mapping(data, "the body")
        if unknown := sorted(set(body) - {"input", *FIELDS}):
            known = ", ".join(("input", *FIELDS))
            raise InvalidValue(f"unknown field {unknown[0][:40]!r}; known: {known}")
        asked = {name: field.take(body, name) for name, field in FIELDS.items()}
        texts = _texts(validation.member(body, "input"))
        timing.switch("preprocess")
        vectors = self._vectors(scorer, texts, asked["dimensions"])
        timing.switch("encode")
        write = _base64 if asked["encoding_format"] == "base64" else np.asarray
        entries = [
            {"object": "embedding", "index": i, "embedding": write(vector)}
            for i, vector in enumerate(vectors)
        ]
        usage = dict.fromkeys(("prompt_tokens", "total_tokens"), timing.tokens())
        model = asked["model"] or self._model or scorer.spec.name
        told = {"object": "list", "data": entries, "model": model, "usage": usage}
        return Response(200, codecs.encode_json(told), JSON)

    def _vectors(self, scorer: Scorer, texts: list[str], dimensions: int | None) -> list[Array]:
        embed = getattr(scorer.task, "embedding", scorer.task)  # sentence-similarity has one
        known: Mapping[str, Parameter] | None = getattr(embed, "parameters", None)
        if known is None or "pooling" not in known:
            raise InvalidValue(f"the model does not embed texts; its task is {scorer.spec.task}")
        parameters: dict[str, Any] = {"dimensions": dimensions} if dimensions else {}
        if list(known["pooling"].default) == ["none"]:
            parameters["pooling"] = "mean"
        try:
            answer = embed.answer({"inputs": texts, "parameters": parameters})
        except ScoringError as e:
            renamed = str(e).replace("'inputs", "'input").replace("'parameters.", "'")
            raise type(e)(renamed) from e
        return [np.asarray(vector, "<f4") for vector in answer]

    def refusal(self, error: ScoringError) -> Any:
        """{"error": {"message", "type", "param", "code"}}."""
        kind = _TYPES.get(error.status, "invalid_request_error")
        kind = kind if error.status < 500 else "server_error"
        return {"error": {"message": str(error), "type": kind, "param": None, "code": error.code}}


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise InvalidValue("'input' is an empty list; expected at least one text")
    if any(isinstance(text, int | list) for text in texts):
        what = "'input' holds token numbers, which are not taken: tokenizers differ"
        raise InvalidType(f"{what}; send a text or a list of texts")
    return [validation.text(text, f"input[{i}]") for i, text in enumerate(texts)]


def _base64(vector: Array) -> str:
    return b64encode(vector.tobytes()).decode("ascii")
