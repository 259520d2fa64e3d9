"""FastAPI over a transformers pipeline: python pipeline_app.py FOLDER PORT.
POST /predict {"inputs": "text"}. WORKERS: processes."""

from __future__ import annotations

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
pipe = None


class Ask(BaseModel):
    """A request."""

    inputs: str


def load() -> Any:
    """The pipeline, once a process."""
    global pipe
    if pipe is None:
        from transformers import pipeline

        pipe = pipeline("text-classification", model=os.environ["MODEL"], top_k=None, device="cpu")
    return pipe


@app.post("/predict")
def predict(ask: Ask) -> Any:
    """All labels of the text; in a thread of FastAPI's pool, as its documents have it."""
    return load()(ask.inputs)


if __name__ == "__main__":
    os.environ["MODEL"] = sys.argv[1]
    workers = int(os.environ.get("WORKERS", "1"))
    uvicorn.run(
        "pipeline_app:app",
        port=int(sys.argv[2]),
        workers=workers,
        access_log=False,
        log_level="warning",
    )
