"""The routes, one module for each protocol that clients speak: `add(app, exchange)` in each."""

from __future__ import annotations

from fastapi import FastAPI

from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.routes import (
    catalog,
    deepsparse,
    document,
    inference,
    openai,
    platforms,
    vertex,
)

# DeepSparse's own routes may lie below those of the Open Inference Protocol
PROTOCOLS = (platforms, catalog, deepsparse, inference, openai, vertex, document)


def add(app: FastAPI, exchange: Exchange) -> None:
    """The routes of every protocol."""
    for protocol in PROTOCOLS:
        protocol.add(app, exchange)
