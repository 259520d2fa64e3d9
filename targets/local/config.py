"""What a server is told: flags, environment variables and one file, checked before anything is
loaded. The flags are made from the fields of ServerConfig, so that each has one name and one text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _origin(text: str) -> str:
    if not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+", text):
        what = f"'{text[:60]}' is no origin, and no browser would send it"
        raise ValueError(f"{what}; expected one like https://example.com, without a path, or *")
    return text


def _url_hosts(given: tuple[str, ...]) -> tuple[str, ...]:
    from onnxferry.scoring.errors import ModelError
    from onnxferry.scoring.urls.policy import hosts

    try:
        return hosts(",".join(given), "url_hosts")
    except ModelError as e:
        raise ValueError(str(e)) from e


Origin = Annotated[str, AfterValidator(_origin)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Table(BaseModel):
    # the text below a field is its description: for the flags' help and the documentation
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ModelConfig(_Table):
    """One model directory."""

    path: Path
    """The model directory."""
    name: str = Field("", pattern=r"^[\w.-]*$")
    """Its name here; default: the one in its model_spec.json."""
    route: str = Field("", pattern=r"^(/[\w./-]+)?$")
    """A path of its own, besides /models/NAME/predict."""
    task: str = ""
    """One of DeepSparse's tasks, by a file of its server."""
    arguments: dict[str, Any] = {}
    """DeepSparse's arguments of that task."""


class ServerConfig(_Table):
    """The whole server. Times are in seconds."""

    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port; 0 takes a free one."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Cores that the models compute on; 0: each as its model_spec.json says, or all."""
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Scoring processes, which share the CPUs; 0: threads of this process."""
    watch: bool = False
    """Take over a model directory that is replaced on disk."""
    playground: bool = True
    """Serve the page at /, where a person asks the models."""
    in_flight: Count = 64
    """Requests that are scored at once, and share the engine's runs."""
    queue: Annotated[int, Field(ge=0)] = 256
    """Requests that wait for one of these; more are refused with 429."""
    request_seconds: Seconds = 60
    """Time to score one request, waiting included."""
    body_seconds: Seconds = 30
    """Time for a client to send the head of a request, and again its body."""
    bodies_mib: Count = 512
    """Memory for the bodies of all requests, in MiB; beyond, requests are refused with 429."""
    connections: Count = 4096
    """Connections open at once."""
    idle_seconds: Seconds = 75
    """Time after which an idle connection is closed."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    """Time to serve on, not ready, after SIGTERM, until load balancers send no more."""
    stop_seconds: Seconds = 60
    """Time for the requests in flight to be answered when the server ends."""
    keys_file: Path | None = None
    """File of the API keys, one a line; read anew at SIGHUP."""
    closed_health: bool = False
    """Ask for a key on health paths too."""
    open_metrics: bool = False
    """Ask for no key on /metrics."""
    cors_origins: tuple[Origin, ...] = ()
    """Origin whose pages may call the server, like https://example.com. May be repeated."""
    allow_urls: bool = False
    """Fetch pictures that a request names by URL: https, from public addresses alone."""
    url_hosts: Annotated[tuple[str, ...], AfterValidator(_url_hosts)] = ()
    """Host that pictures are fetched from, like images.example.com or *.example.com; default: any.
    May be repeated."""
    tls_certificate: Path | None = None
    """File of the TLS certificate and its chain, PEM."""
    tls_key: Path | None = None
    """File of its private key, PEM; default: the certificate's file."""
    skip_golden: bool = False
    """Do not ask the golden requests before being ready."""

    @model_validator(mode="after")
    def _hosts_with_urls(self) -> ServerConfig:
        if self.url_hosts and not self.allow_urls:
            raise ValueError("url_hosts needs allow_urls")
        return self

    @model_validator(mode="after")
    def _key_with_certificate(self) -> ServerConfig:
        if self.tls_key and not self.tls_certificate:
            raise ValueError("tls_key needs tls_certificate")
        return self
