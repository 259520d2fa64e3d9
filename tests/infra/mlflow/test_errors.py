"""What a server or a settings file says wrong, in words; and no secret in them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from onnxferry.infra import errors
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_errors import hidden, translated
from onnxferry.infra.clients.mlflow_places import Place, place
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import load
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.mlflow.asking import LocalModel
from onnxferry.infra.mlflow.cloud import connect
from onnxferry.infra.mlflow.desired import desired_state
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import PackageError, UsageError
from tests.infra.mlflow.conftest import config


class Refusing:
    """A server that gives every request one answer."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(served.status)
                self.send_header("Content-Length", str(len(served.body)))
                self.end_headers()
                self.wfile.write(served.body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def refusing() -> Iterator[Refusing]:
    found = Refusing()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the pauses of MLflow's client."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def said(code: str) -> bytes:
    return json.dumps({"error_code": code, "message": "the reason"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b"<html>sign in</html>", errors.NoCredentials, "set MLFLOW_TRACKING_TOKEN"),
        (403, b"<html>no</html>", errors.NotAllowed, "status 403; ask for it"),
        (403, said("PERMISSION_DENIED"), errors.NotAllowed, "the reason; ask for it"),
        (404, b"<html>what?</html>", errors.NotFound, "status 404"),
        (400, said("INVALID_PARAMETER_VALUE"), errors.Refused, "the reason"),
        (400, said("RESOURCE_LIMIT_EXCEEDED"), errors.QuotaExceeded, "the reason"),
        (500, said("INTERNAL_ERROR"), errors.Unavailable, "status 500; run again"),
    ],
)
def test_what_the_server_says(
    refusing: Refusing, status: int, body: bytes, kind: type[CloudError], words: str
) -> None:
    refusing.status, refusing.body = status, body
    with pytest.raises(kind) as raised:
        MlflowServer(Place(refusing.url)).check()
    assert str(raised.value).startswith(f"MLflow at {refusing.url}, sign-in: ")
    assert words in str(raised.value)
    assert "<html>" not in str(raised.value)


def test_no_server_is_there() -> None:
    with pytest.raises(errors.Unavailable, match="the connection was refused; check the network"):
        MlflowServer(Place("http://127.0.0.1:9")).check()


def test_no_sign_in_to_databricks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DATABRICKS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", "false")  # which would look for a cloud around it
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(errors.NoCredentials, match=r"DATABRICKS_TOKEN.*databricks-sdk") as raised:
        MlflowServer(Place("databricks")).check()
    assert "run again" not in str(raised.value)


def test_a_scheme_that_nothing_here_knows() -> None:
    with pytest.raises(errors.Refused, match=r"unsupported URI 'azureml://x'.*azureml-mlflow"):
        MlflowServer(Place("azureml://x")).check()


def test_a_library_that_is_missing() -> None:
    with (
        pytest.raises(
            errors.Refused, match="No module named 'databricks'; pip install databricks-"
        ),
        translated("MLflow at databricks"),
    ):
        raise ModuleNotFoundError("No module named 'databricks'", name="databricks.sdk")


def test_a_sign_in_is_never_shown(refusing: Refusing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-4711")
    assert hidden("the token tok-4711 of http://ann:pw1@host/x") == "the token ... of http://host/x"
    refusing.status, refusing.body = 500, b"tok-4711 pw1"
    server = MlflowServer(Place(refusing.url.replace("//", "//ann:pw1@")))
    with pytest.raises(CloudError) as raised:
        server.check()
    assert "tok-4711" not in str(raised.value)
    assert "pw1" not in str(raised.value)
    assert server.place.shown == refusing.url


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tracking_uri": "https://ann:pw1@host"}, "a sign-in has no place here"),
        ({"registry_uri": "https://tok-4711@host"}, "a sign-in has no place here"),
        ({"registry_uri": "databricks-uc"}, "needs catalog_schema, like main.ml"),
        ({"tags.mlflow.x": "1"}, "reserved"),
        ({"environment.MLFLOW_TRACKING_TOKEN": "tok-4711"}, "depends on this variable"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    flags = {f"mlflow.{key}": value for key, value in settings.items()}
    with pytest.raises(UsageError) as raised:
        load("mlflow", tmp_path / "none.toml", flags)
    assert words in str(raised.value)
    assert "pw1" not in str(raised.value)
    assert "tok-4711" not in str(raised.value)


def test_where_the_server_is(tmp_path: Path) -> None:
    """deploy.toml before MLflow's variables, and those before a file of the user's."""
    environ = {"MLFLOW_TRACKING_URI": "http://one", "MLFLOW_REGISTRY_URI": "databricks-uc"}
    assert place("", "", "", environ) == Place("http://one", "databricks-uc")
    assert place("http://two", "", "", {}) == Place("http://two")
    assert place("http://two", "http://reg", "s3://b", environ).artifacts == "s3://b"
    own = place("", "", "", {})
    assert own.database
    assert own.database.name == "mlflow.db"
    assert own.database.is_absolute()
    assert own.artifacts == (own.database.parent / "artifacts").as_uri()
    assert place("azureml://x", "", "", {}).there
    assert not place(f"sqlite:///{tmp_path}/none.db", "", "", {}).there


def test_mlflows_own_variable_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:pw1@one")
    assert connect(config(), "squad").server.place.shown == "http://one"


def test_a_catalog_is_part_of_the_name() -> None:
    cloud = connect(config(registry_uri="databricks-uc", catalog_schema="main.ml"), "squad")
    assert cloud.names.model == "main.ml.squad"
    assert cloud.names.url == "models:/main.ml.squad@champion"


def test_an_experiment_that_was_deleted(server: MlflowServer) -> None:
    found = server.create_experiment("onnxferry")
    server._client.delete_experiment(found.id)
    with pytest.raises(errors.Refused, match="it was deleted; restore it"):
        server.experiment("onnxferry")


def test_no_database_to_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such database; deploying makes it"):
        MlflowServer(Place(f"sqlite:///{tmp_path}/none.db")).models()


def test_a_package_of_another_target(versions: dict[str, Bundle], tmp_path: Path) -> None:
    settings = config().mlflow
    assert settings
    other = replace(versions["a"].package, path=tmp_path)
    with pytest.raises(PackageError, match="no MLmodel is there"):
        desired_state(replace(versions["a"], package=other), settings)


@pytest.mark.host
def test_a_model_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: nothing}}")
    with pytest.raises(errors.NotHealthy, match=r"(?s)could not load.*No module named 'nothing'"):
        LocalModel()(tmp_path, [Request(b"{}")])
