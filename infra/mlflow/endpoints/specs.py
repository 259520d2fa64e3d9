"""The manifest of a model in its MLflow folder, and its requests as MLflow's server takes them."""

from __future__ import annotations

from pathlib import Path

from onnxferry.infra.errors import NotFound
from onnxferry.infra.smoke import golden_in
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import SPEC_FILE, Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.mlflow_requests import mlflow_golden, mlflow_request

MARK = "mlflow/"  # before an endpoint's name in tags: another target's of that name is another's
MANIFEST = f"artifacts/model/{SPEC_FILE}"  # in the folder


def mlflow_golden_in(text: bytes, where: str) -> Golden:
    """The golden requests in a manifest kept at `where`. Raises NotFound without one."""
    return mlflow_golden(_spec(text, where), golden_in(text, where))


def mlflow_request_for(request: Request, manifest: bytes, where: str) -> Request:
    """`request` as the model takes it that has the manifest. Raises NotFound and UsageError."""
    return mlflow_request(_spec(manifest, where), request)


def manifest_of(package: Path) -> str:
    """The manifest's text."""
    return (package / MANIFEST).read_text(encoding="utf-8")


def _spec(text: bytes, where: str) -> ModelSpec:
    try:
        return ModelSpec.parse(text, SPEC_FILE)
    except ModelError as e:
        raise NotFound(f"{where}: no model's manifest ({e}); deploy that version again") from e
