"""The container that Azure makes of an MLflow model that is deployed without code: what the model
must have for it to start, and what its scoring script takes and answers.

As seen with azureml-inference-server-http 1.5.1 and the script of the image mlflow-py312-inference:
the table is `input_data`, `params` are MLflow's, the answer is the list of records, and whatever
the model raises is 500 with a message of the server's own.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml  # type: ignore[import-untyped]

Files = Mapping[str, bytes]

FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
_SERVER = "azureml_inference_server_http"
_BROUGHT = ("azureml-inference-server-http", "azureml-ai-monitoring", "mlflow")


def lacking(files: Files) -> Iterator[str]:
    """Why no image is built of the model, or its container ends."""
    if "MLmodel" not in files:
        yield "the model's folder has no MLmodel file"
        return
    flavor = yaml.safe_load(files["MLmodel"])["flavors"].get("python_function")
    if flavor is None:
        yield "the model has no python_function flavor"
        return
    conda = flavor["env"]["conda"] if isinstance(flavor["env"], dict) else flavor["env"]
    if conda not in files:
        yield f"{conda} of the MLmodel file is not in the model's folder"
        return
    yield from _unimportable(yaml.safe_load(files[conda])["dependencies"])
    yield from _unreadable(yaml.safe_load(files["MLmodel"]).get("signature") or {})


def _unreadable(signature: Mapping[str, str]) -> Iterator[str]:
    """The script makes samples of the signature as it is imported, and knows plain kinds only."""
    for part in ("inputs", "outputs"):
        for column in json.loads(signature.get(part) or "[]"):
            if column["type"] not in ("string", "boolean", "integer", "long", "float", "double"):
                yield f"the scoring script makes no sample of {part} of type {column['type']}"


def _unimportable(dependencies: list[Any]) -> Iterator[str]:
    """What the server and its script import, and conda.yaml does not bring."""
    if not any(str(one).startswith("python=") for one in dependencies):
        yield "conda.yaml names no Python"
    pip = [line for one in dependencies if isinstance(one, dict) for line in one["pip"]]
    names = {re.split(r"[<>=!~;\[ ]", line)[0].lower() for line in pip}
    for name in _BROUGHT:
        if name not in names:
            yield f"ModuleNotFoundError: conda.yaml does not bring {name}"


@contextmanager
def _in_azures_server() -> Iterator[None]:
    """As where its inference server is loaded."""
    before = sys.modules.get(_SERVER)
    sys.modules[_SERVER] = ModuleType(_SERVER)
    try:
        yield
    finally:
        sys.modules.pop(_SERVER)
        sys.modules |= {_SERVER: before} if before else {}


class MlflowContainer:
    """Answers for the model that consists of `files`."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @cached_property
    def _model(self) -> Any:
        import mlflow.pyfunc

        with tempfile.TemporaryDirectory() as folder:
            for name, data in self._files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return mlflow.pyfunc.load_model(folder)

    def answer(self, body: bytes) -> tuple[int, bytes, str]:
        """Status, body and content type."""
        status, said = self._answered(body)
        return status, json.dumps(said).encode(), "application/json"

    def _answered(self, body: bytes) -> tuple[int, Any]:
        import pandas

        try:
            sent = json.loads(body)
        except ValueError as e:
            return 400, {"message": f"POST body could not be decoded as JSON: {e}"}
        if not isinstance(sent, dict) or "input_data" not in sent:
            return 400, {"message": "A value is not provided for the 'input_data' parameter."}
        try:
            table = sent["input_data"]
            frame = pandas.DataFrame(table["data"], table["index"], table["columns"])
            with _in_azures_server():
                answer = self._model.predict(frame, params=sent.get("params"))
            records = answer.to_dict(orient="records")
            json.dumps(records)  # without an encoder of its own for arrays
            return 200, records
        except Exception:  # the script's own do not reach the client
            return 500, {"message": FAILED}
