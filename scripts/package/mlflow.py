"""MLflow: a model folder as mlflow.pyfunc.save_model writes one of model code, to load, serve,
register or give to Spark.

It is written file by file, without MLflow: equal input gives equal bytes, with no path or time of
this machine in them. The signature is explicit, but its columns are optional and of any kind: by
their kinds MLflow would refuse all rows for one before the model is asked, in a message that
repeats them, and make texts of nulls. The kinds stand in the metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from onnxferry.scoring.manifest import SPEC_FILE, ModelSpec
from onnxferry.scoring.rows import SCALARS, Kind, columns
from onnxferry.scripts.mlflow_requests import mlflow_request
from onnxferry.scripts.package import conda, pins, wheels
from onnxferry.scripts.package.archive import write_folder
from onnxferry.scripts.package.layout import Entry, PackageLayout
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.system.errors import UsageError

ERRORS = {"name": "errors", "default": "raise", "shape": None, "type": "string"}
EXAMPLE, SERVING = "input_example.json", "serving_input_example.json"
_MODEL = "artifacts/model"
Signed: TypeAlias = "Callable[[ModelSpec], dict[str, list[dict[str, Any]]]]"


def added(
    model: CheckedModel, server: Sequence[str] = (), signed: Signed | None = None
) -> list[Entry]:
    """MLmodel, the environment in the three forms that MLflow reads, and the input example. A host
    may need a `server` of its own in that environment, and another signature than `signature`."""
    roots, python = [*wheels.SCORING, *model.libraries, "mlflow", *server], model.python
    example = input_example(model.spec)
    requirements = "".join(f"{pin}\n" for pin in conda.requirements(roots, python))
    python_env = {"python": python, "dependencies": ["-r requirements.txt"]}
    files = {
        "MLmodel": conda.to_yaml(_mlmodel(model, example, signed or signature)),
        "conda.yaml": conda.to_yaml(conda.environment(roots, python)),
        "python_env.yaml": conda.to_yaml(python_env),
        "requirements.txt": requirements.encode(),
    }
    if example:
        files |= {EXAMPLE: _json(_saved(example)), SERVING: _json(example)}
    return [Entry(name, content) for name, content in files.items()]


def signature(spec: ModelSpec) -> dict[str, list[dict[str, Any]]]:
    """The inputs, outputs and params of MLflow's ModelSignature."""
    known = columns(spec)
    inputs = [{"type": "any", "name": name, "required": False} for name in _inputs(spec)]
    params = [*(_param(name, kind) for name, kind in known.parameters.items()), ERRORS]
    return {"inputs": inputs, "outputs": _outputs(known.outputs), "params": params}


def _inputs(spec: ModelSpec) -> dict[str, Kind]:
    """The columns' names, with other names after all first ones, as Spark gives columns by their
    place."""
    known = columns(spec).inputs
    names = {column.name: column.kind for column in known}
    aliases = {alias: column.kind for column in known for alias in column.aliases}
    return {**names, **{alias: kind for alias, kind in aliases.items() if alias not in names}}


def _outputs(kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    """Columns; a lone one is a field of the row's answer, of which spark_udf makes a struct, as it
    does of several: of a column that is a list alone it makes nothing."""
    if len(kinds) == 1:
        return [{**_type(dict(kinds)), "required": True}]
    return [{**_type(kind), "name": name, "required": True} for name, kind in kinds.items()]


def azureml_signature(spec: ModelSpec) -> dict[str, list[dict[str, Any]]]:
    """`signature` as the scoring script can read it that Azure serves a model with which comes
    without code. The script makes samples of the signature, of plain kinds only, and ends with any
    other. MLflow lets whatever a cell holds pass for a string."""
    said = signature(spec)
    inputs = [{**column, "type": "string"} for column in said["inputs"]]
    plain = all(column["type"] in SCALARS for column in said["outputs"])
    outputs = {"outputs": said["outputs"]} if plain else {}
    return {"inputs": inputs, **outputs, "params": said["params"]}


def input_example(spec: ModelSpec) -> dict[str, Any]:
    """The golden request as the body that MLflow's server takes; {} where there is none, or MLflow
    has no form for it."""
    if spec.golden is None:
        return {}
    try:
        body = json.loads(mlflow_request(spec, spec.golden.request).body)
    except (UsageError, ValueError):
        return {}
    return body if isinstance(body, dict) and "dataframe_split" in body else {}


def about(spec: ModelSpec) -> dict[str, Any]:
    """What MLmodel's `metadata` says of the model, under our name."""
    source = spec.provenance.get("source", {})
    said = {"name": spec.name, "task": spec.task, "precision": spec.precision, "cpu": spec.cpu}
    more = {"opset": spec.opset, "labels": list(spec.labels), "source": source}
    given = {"columns": _inputs(spec), "files": dict(spec.files)}
    return {"onnxferry": {**said, **given, **more}}


def _mlmodel(model: CheckedModel, example: Mapping[str, Any], signed_by: Signed) -> dict[str, Any]:
    spec = (model.folder / SPEC_FILE).read_bytes()
    signed = {name: json.dumps(said) for name, said in signed_by(model.spec).items()}
    said = {
        "flavors": {"python_function": _flavor(model.python)},
        "is_signature_from_type_hint": False,
        "metadata": about(model.spec),
        "mlflow_version": pins.version("mlflow", model.python),
        "model_uuid": hashlib.sha256(spec).hexdigest()[:32],
        "signature": signed,
        "type_hint_from_example": False,
    }
    return {**said, "saved_input_example_info": _saved_info(example)} if example else said


def _flavor(python: str) -> dict[str, Any]:
    return {
        "artifacts": {"model": {"path": _MODEL, "uri": _MODEL}},
        "code": "code",
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.pyfunc.loaders.code_model",
        "model_code_path": "model.py",
        "python_version": python,
        "streamable": False,
    }


def _saved_info(example: Mapping[str, Any]) -> dict[str, str]:
    """Where MLflow finds the input example."""
    frame = {"artifact_path": EXAMPLE, "pandas_orient": "split", "type": "dataframe"}
    params = {"params": "true"} if "params" in example else {}
    return {**frame, **params, "serving_input_path": SERVING}


def _saved(example: Mapping[str, Any]) -> Any:
    """The input example as MLflow reads it: the frame, or that and the params."""
    frame = example["dataframe_split"]
    return {"inputs": frame, "params": example["params"]} if "params" in example else frame


def _type(kind: Kind) -> dict[str, Any]:
    """A kind as MLflow has it in JSON."""
    if isinstance(kind, list):
        return {"type": "array", "items": _type(kind[0])}
    if isinstance(kind, dict):
        fields = {name: {**_type(field), "required": True} for name, field in kind.items()}
        return {"type": "object", "properties": fields}
    return {"type": kind}


def _param(name: str, kind: Kind) -> dict[str, Any]:
    """A param whose default leaves it to the model; of a list MLflow takes no null for that."""
    if isinstance(kind, list):
        return {"name": name, "default": [], "shape": [-1], "type": kind[0]}
    return {"name": name, "default": None, "shape": None, "type": kind}


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode()


_LAYOUT = PackageLayout(
    "mlflow", "package", write_folder, added, model=f"{_MODEL}/", code="code/", adapter=""
)
_SERVER = ("azureml-inference-server-http", "azureml-ai-monitoring")  # what Azure's script imports
_AZUREML = replace(_LAYOUT, added=partial(added, server=_SERVER, signed=azureml_signature))
LAYOUT = replace(_LAYOUT, images={"azureml": _AZUREML})
