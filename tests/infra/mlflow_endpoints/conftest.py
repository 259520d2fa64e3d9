"""MLflow packages of tiny models, and MLflow's own scoring code in place of a container."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import boto3
import pytest

from onnxferry.infra.cloud import Bundle, bundle
from onnxferry.scoring.wire import Request, Response
from onnxferry.scripts.package import package
from tests import tiny
from tests.fakes.aws.invocations import Host
from tests.infra.proved import prove
from tests.infra.sagemaker.conftest import KeptSession, aws, server

__all__ = ["aws", "server"]

NAME = "squad"
WORDS = {"a": "rebecca", "b": "1946", "c": "dolly"}


@pytest.fixture
def kept_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    """mlflow makes a session for each upload; here it finds one that is made already."""
    monkeypatch.setattr(boto3, "Session", KeptSession)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Three packages whose golden answers differ: "a", "b" and "c"."""
    return {name: packed(tmp_path_factory.mktemp(name), word) for name, word in WORDS.items()}


@pytest.fixture(scope="session")
def azure_bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The same as they are for AzureML."""
    return {
        name: packed(tmp_path_factory.mktemp(f"{name}-azureml"), word, "azureml")
        for name, word in WORDS.items()
    }


def packed(folder: Path, word: str, image: str = "") -> Bundle:
    """The package of a model that always answers with `word`."""
    from onnxferry.scripts.package import layout_of

    model = tiny.question_answering(folder / "model")
    tiny.span_graph(model / "model.onnx", {word: (4, 4)})
    prove(model)
    return bundle(package(model, layout_of("mlflow", image), out=folder / "out"), model)


@cache
def mlflow_host(folder: Path) -> Host:
    """What MLflow's scoring server answers for the MLflow model in `folder`."""
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(str(folder))
    schema = model.metadata.get_input_schema()

    def answer(request: Request) -> Response:
        try:
            found = scoring_server.invocations(request.body, request.content_type, model, schema)
        except MlflowException as e:
            body = e.serialize_as_json().encode()
            return Response(e.get_http_status_code(), body, "application/json")
        return Response(found.status, found.response.encode(), found.mimetype)

    return answer
