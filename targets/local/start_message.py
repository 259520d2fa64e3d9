"""What the server says once it is ready: where it is, what it serves, and who may ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnxferry.scoring import cpu
from onnxferry.targets.local import listening
from onnxferry.targets.local.backend import Served
from onnxferry.targets.local.config import ServerConfig
from onnxferry.targets.local.keys import VARIABLE, Keys


def lines(url: str, config: ServerConfig, models: Iterable[Served], keys: Keys) -> Iterator[str]:
    """One after the other."""
    where = f"{config.workers} scoring process(es)" if config.workers else "this process"
    cores = config.threads or cpu.available()
    yield f"ready at {url} (documents: {url}/docs); {cores} cores, models in {where}"
    for served in models:
        task = f"{served.spec.task}, {served.spec.precision}"
        yield f"model {served.name} ({task}): POST {url}/models/{served.name}/predict"
    yield f"API keys: {len(keys)}" if keys else f"no API keys: set --keys-file or {VARIABLE}"


def warnings(config: ServerConfig, keys: Keys) -> Iterator[str]:
    """What its owner should think about."""
    if not keys and not listening.loopback(config.host):
        yield f"whoever reaches {config.host} may use this server: it has no API keys"
    if keys and not config.tls_certificate and not listening.loopback(config.host):
        yield "API keys travel unencrypted: set --tls-certificate, or let a proxy do TLS"
