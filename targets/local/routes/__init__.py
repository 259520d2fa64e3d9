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

PROTOCOLS = (platforms, catalog, inference, openai, vertex, deepsparse, document)


def add(app: FastAPI, exchange: Exchange) -> None:
    """The routes of every protocol."""
    for protocol in PROTOCOLS:
        protocol.add(app, exchange)
