"""The local server in this process, with tiny models of several tasks, for the playground's tests;
and the models that GET /models describes where routes do not have it yet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.targets.local import playground
from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend
from tests import tiny

HOSTILE = "<img src=x onerror=alert(1)>"
MODELS: dict[str, Callable[[Path], Path]] = {
    "answers": tiny.question_answering,
    "labels": tiny.text_classification,
    "entities": tiny.token_classification,
    "choices": tiny.zero_shot_classification,
    "masks": tiny.fill_mask,
    "vectors": tiny.feature_extraction,
    "alike": tiny.sentence_similarity,
    "ranked": tiny.text_ranking,
    "pictures": tiny.image_classification,
    "boxes": tiny.object_detection,
    "points": tiny.image_feature_extraction,
    "arrays": tiny.tensors,
}


def written(folder: Path) -> dict[str, Path]:
    """A directory for each of MODELS, and one with labels and a name that would be markup."""
    folders = {name: make(folder / name) for name, make in MODELS.items()}
    labels = (HOSTILE, "good", "long")
    spec = ModelSpec.read(tiny.text_classification(folder / "hostile"))
    tiny.write_spec(folder / "hostile", replace(spec, labels=labels))
    return {**folders, HOSTILE: folder / "hostile"}


@contextmanager
def serving(folders: Mapping[str, Path]) -> Iterator[str]:
    """The URL of a server of `folders` on a thread of this process."""
    app = application(ThreadBackend(folders))
    playground.add(app)
    config = uvicorn.Config(app, port=0, ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    ready = threading.Event()
    startup = server.startup

    async def started(*given: Any, **named: Any) -> None:
        await startup(*given, **named)
        ready.set()

    server.startup = started
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(30)
