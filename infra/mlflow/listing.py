"""All that onnxferry made in a registry: registered models with its mark, and their versions; and
what is logged in the experiment of deploy.toml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_types import Logged, Registered
from onnxferry.infra.cloud import Listed
from onnxferry.infra.mlflow.names import DEPLOYED, MADE, VERSION, Names


def listed(server: MlflowServer, names: Names) -> list[Listed]:
    """What onnxferry made. Raises CloudError."""
    if not server.place.there:
        return []
    models = [one for one in server.models() if MADE in one.tags]
    found = [one for model in models for one in _registered(server, model)]
    return [*found, *(_logged(server, one) for one in _files(server, names))]


def _registered(server: MlflowServer, model: Registered) -> Iterator[Listed]:
    aliases = ", ".join(f"{alias} {number}" for alias, number in sorted(model.aliases.items()))
    yield _one(server, "registered model", model.name, model.tags, aliases)
    for version in server.versions(model.name):
        if MADE in version.tags:
            name = f"{model.name}/{version.number}"
            yield _one(server, "version", name, version.tags, version.state)


def _files(server: MlflowServer, names: Names) -> list[Logged]:
    experiment = server.experiment(names.experiment)
    return server.logged(experiment, names.any_mark) if experiment else []


def _logged(server: MlflowServer, one: Logged) -> Listed:
    return _one(server, one.kind, one.id, one.tags, "stored" if one.ready else "unfinished")


def _one(server: MlflowServer, kind: str, name: str, tags: Mapping[str, str], state: str) -> Listed:
    endpoint, version, deployed = (tags.get(key, "") for key in (MADE, VERSION, DEPLOYED))
    return Listed(kind, name, endpoint, version, state, deployed, server.place.shown)
