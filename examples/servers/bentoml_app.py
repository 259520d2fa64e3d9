"""BentoML over the graph: FOLDER=... bentoml serve bentoml_app:Emotions --working-dir HERE.
POST /predict {"texts": ["text"]}. BATCH: texts of a run at most; WORKERS: processes."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from graph import Graph

BATCH = int(os.environ.get("BATCH", "32"))


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")), traffic={"timeout": 60})
class Emotions:
    """Its scores of texts."""

    def __init__(self) -> None:
        """Load the graph."""
        self._graph = Graph(os.environ["FOLDER"])

    @bentoml.api(batchable=BATCH > 1, max_batch_size=BATCH, max_latency_ms=2000)
    def predict(self, texts: list[str]) -> list[list[dict[str, Any]]]:
        """BentoML joins the lists of several requests."""
        return self._graph(texts)
