"""Runs the application until SIGTERM or Ctrl-C; requests in flight are answered first."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvicorn

from onnxferry import scoring
from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import LOG_FORMAT, Backend, ThreadBackend, folders
from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.workers.backend import WorkerBackend


def serve(config: ServerConfig) -> None:
    """Load the models and serve them until a signal ends the server. An unusable model ends it
    with a message."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    try:
        asyncio.run(_serve(config))
    except scoring.ScoringError as e:
        sys.exit(f"error: {e}")


async def _serve(config: ServerConfig) -> None:
    backend = scored(config)
    settings = uvicorn.Config(
        application(backend),
        host=config.host,
        port=config.port,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,  # seconds for the requests in flight
    )
    await uvicorn.Server(settings).serve()


def scored(config: ServerConfig) -> Backend:
    """What scores the models, as `workers` says. Raises ModelError."""
    named = folders([(model.name, model.path) for model in config.models])
    return WorkerBackend(named, config.workers) if config.workers else ThreadBackend(named)
