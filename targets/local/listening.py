"""Where and how the server listens: its socket, TLS, and uvicorn's settings."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import ssl
from typing import Any

import uvicorn

from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.config_file import ConfigError

SPARE_FILES = 256  # besides connections: models, logs, processes
BACKLOG = 2048  # connections that wait to be accepted


def bound(config: ServerConfig) -> socket.socket:
    """The socket that it listens on. Raises ConfigError."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        made = socket.socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as e:
        where = f"{config.host} port {config.port}"
        taken = e.errno == errno.EADDRINUSE
        hint = "another program listens there; give --port another" if taken else e.strerror
        raise ConfigError(f"cannot listen on {where}: {hint}") from e
    return made


def url(config: ServerConfig, listens: socket.socket) -> str:
    """The server's URL on this machine."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    scheme = "https" if config.tls_certificate else "http"
    return f"{scheme}://{host}:{listens.getsockname()[1]}"


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def uvicorn_config(config: ServerConfig, application: Any) -> uvicorn.Config:
    """uvicorn's settings. Raises ConfigError for a certificate that cannot be used."""
    made = uvicorn.Config(
        application,
        http=_protocol(config),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=config.idle_seconds,
        timeout_graceful_shutdown=config.stop_seconds,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
    )
    try:
        made.load()
    except (OSError, ssl.SSLError) as e:
        files = " and ".join(str(f) for f in (config.tls_certificate, config.tls_key) if f)
        raise ConfigError(f"{files}: no TLS certificate and key in PEM can be read ({e})") from e
    return made


def _protocol(config: ServerConfig) -> Any:
    """uvicorn's faster protocol, bounded; its slower one, which bounds heads, without httptools."""
    try:
        from onnxferry.targets.local.connections import bounded
    except ModuleNotFoundError:
        return "h11"
    return bounded(config.body_seconds, min(config.connections, _files() - SPARE_FILES))


def _files() -> int:
    """How many files this process may open, raised as far as it may."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return max(soft, most)
    return 65_536
