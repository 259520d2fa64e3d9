"""What a server is told: flags or one file, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Table):
    """One model directory. `name`: by default the one in its model_spec.json. `route`: a path of
    its own, besides /models/NAME/predict."""

    path: Path
    name: str = ""
    route: str = ""


class ServerConfig(_Table):
    """The whole server. Times are in seconds."""

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    workers: Annotated[int, Field(ge=0)] = 0  # scoring processes; 0: threads of this process
    watch: bool = False  # take over a model directory that is replaced on disk
    playground: bool = True  # the page at /
