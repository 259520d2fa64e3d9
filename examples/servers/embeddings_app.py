"""FastAPI over a library of embeddings: python embeddings_app.py LIBRARY FOLDER PORT, where LIBRARY
is sentence-transformers (backend onnx) or fastembed. POST /predict {"inputs": "text"}."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

FILE = "model.onnx"
Encode = Callable[[str], Any]  # a text -> its vector


class Ask(BaseModel):
    """A request."""

    inputs: str


def sentence_transformers(folder: str) -> Encode:
    """FOLDER: a sentence-transformers folder that holds the graph too."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        folder, backend="onnx", device="cpu", model_kwargs={"file_name": FILE, "export": False}
    )
    return lambda text: model.encode(text, normalize_embeddings=True, show_progress_bar=False)


def fastembed(folder: str) -> Encode:
    """The same folder."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="local/model",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/model"),
        dim=384,
        model_file=FILE,
    )
    model = TextEmbedding("local/model", specific_model_path=str(Path(folder).resolve()))
    return lambda text: next(iter(model.embed([text])))


LIBRARIES = {"sentence-transformers": sentence_transformers, "fastembed": fastembed}


def application(encode: Encode) -> FastAPI:
    """The server; its endpoint runs in a thread of FastAPI's pool."""
    app = FastAPI()

    @app.post("/predict")
    def predict(ask: Ask) -> list[float]:
        return encode(ask.inputs).tolist()  # type: ignore[no-any-return]

    return app


if __name__ == "__main__":
    library, folder, port = sys.argv[1:]
    uvicorn.run(
        application(LIBRARIES[library](folder)),
        port=int(port),
        access_log=False,
        log_level="warning",
    )
