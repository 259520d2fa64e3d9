"""The pages of MLflow's own server."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from onnxferry.infra.clients.mlflow_places import Place
from onnxferry.system.errors import UsageError


def model_page(place: Place, model: str) -> str:
    """The address of a registered model's page. Raises UsageError for what is no server of MLflow's
    (files, a database, a workspace)."""
    server = urlsplit(place.registry or place.tracking)
    if server.scheme not in ("http", "https") or not server.hostname:
        said = f"{place.shown} has no pages of MLflow's own"
        raise UsageError(f"{said}; open {model} in the registry's own user interface")
    host = f"[{server.hostname}]" if ":" in server.hostname else server.hostname
    port = f":{server.port}" if server.port else ""
    return f"{server.scheme}://{host}{port}{server.path.rstrip('/')}/#/models/{quote(model)}"
