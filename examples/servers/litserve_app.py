"""LitServe over the graph: python litserve_app.py FOLDER PORT. POST /predict {"inputs": "text"}.

BATCH: texts of a run at most (1: no batching); WAIT: seconds that a run waits for more; WORKERS:
processes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
from graph import Graph

BATCH = int(os.environ.get("BATCH", "32"))


class Emotions(litserve.LitAPI):
    """Its scores of a text."""

    def setup(self, device: str) -> None:
        """Load the graph."""
        self._graph = Graph(sys.argv[1])

    def decode_request(self, request) -> str:  # no type: LitServe would look it up
        """The text."""
        return str(request["inputs"])

    def predict(self, asked: Any) -> Any:
        """LitServe gives a list where it batches, and one text where it does not."""
        return self._graph(asked) if BATCH > 1 else self._graph([asked])[0]

    def encode_response(self, output: Any) -> Any:
        """As it is."""
        return output


if __name__ == "__main__":
    api = Emotions(max_batch_size=BATCH, batch_timeout=float(os.environ.get("WAIT", "0.005")))
    workers = int(os.environ.get("WORKERS", "1"))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning"
    )
