"""Open Inference Protocol v2 (KServe, Triton, MLServer), with binary tensors, and Triton's index of
models. DeepSparse's clients ask the same infer.

GET  /v2, /v2/health/live, /v2/health/ready, /v2/models/NAME[/versions/1][/ready]
POST /v2/models/NAME[/versions/1]/infer, /v2/repository/index
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec, Tensor
from onnxferry.scoring.rows import Kind, columns
from onnxferry.targets.local import forms
from onnxferry.targets.local.backend import Served
from onnxferry.targets.local.exchange import Exchange
from onnxferry.targets.local.forms.inference import VERSION, tensor_of
from onnxferry.targets.local.forms.tensor_wire import BYTES, DATATYPES
from onnxferry.targets.local.refusals import NotFound
from onnxferry.targets.local.routes import described
from onnxferry.targets.local.routes.deepsparse import endpoint, own_places

EXTENSIONS = ["binary_tensor_data", "model_repository"]
_TAGS = ["Open Inference Protocol v2"]


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""

    def of(name: str, version: str = VERSION) -> Served:
        if version != VERSION:
            raise NotFound(f"model {name!r} has the version {VERSION} only")
        return exchange.model(name)

    async def server() -> dict[str, Any]:
        """The server's metadata."""
        return {"name": "onnxferry", "version": described.version(), "extensions": EXTENSIONS}

    async def live() -> dict[str, Any]:
        """Whether the server runs."""
        return {"live": True}

    async def ready() -> dict[str, Any]:
        """Whether every model answers."""
        return {"ready": True}

    async def model(name: str, version: str = VERSION) -> dict[str, Any]:
        """A model's metadata: its tensors."""
        return metadata(of(name, version))

    async def model_ready(name: str, version: str = VERSION) -> dict[str, Any]:
        """Whether the model answers."""
        return {"name": of(name, version).name, "ready": True}

    async def infer(request: Request, name: str, version: str = VERSION) -> Response:
        """Named tensors in, named tensors out."""
        of(name, version)
        form = forms.name("v2", model=name, endpoint=endpoint(exchange, name))
        return await exchange.answer(request, name, form)

    async def index() -> Response:
        """The models that are loaded."""
        names = exchange.backend.models
        told = [{"name": n, "version": VERSION, "state": "READY", "reason": ""} for n in names]
        return JSONResponse(told)

    found = {"/v2": server, "/v2/health/live": live, "/v2/health/ready": ready}
    for version in ("", "/versions/{version}"):
        found[f"/v2/models/{{name}}{version}"] = model  # type: ignore[assignment]
        found[f"/v2/models/{{name}}{version}/ready"] = model_ready  # type: ignore[assignment]
        path = f"/v2/models/{{name}}{version}/infer"
        app.add_api_route(path, infer, methods=["POST"], tags=_TAGS, include_in_schema=not version)
    for at, name in own_places(exchange):  # before NAME's, which would not know theirs
        app.add_api_route(at, partial(model, name, VERSION), include_in_schema=False)
        app.add_api_route(
            f"{at}/ready", partial(model_ready, name, VERSION), include_in_schema=False
        )
    for path, answer in found.items():
        app.add_api_route(
            path, answer, methods=["GET"], tags=_TAGS, include_in_schema="versions" not in path
        )
    app.add_api_route("/v2/repository/index", index, methods=["POST"], tags=_TAGS)


def metadata(served: Served) -> dict[str, Any]:
    """The model's tensors: the graph's own, or the task's columns."""
    spec = served.spec
    inputs, outputs = _arrays(spec) if spec.task == "tensors" else _columns(spec)
    told = {"name": served.name, "versions": [VERSION], "platform": "onnxruntime_onnx"}
    return {**told, "inputs": inputs, "outputs": outputs}


def _arrays(spec: ModelSpec) -> tuple[list[Any], list[Any]]:
    return [_array(t) for t in spec.inputs], [_array(t) for t in spec.outputs]


def _array(tensor: Tensor) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES.get(tensor.dtype, BYTES), "shape": shape}


def _columns(spec: ModelSpec) -> tuple[list[Any], list[Any]]:
    try:
        found = columns(spec)
    except ModelError:
        return [], []
    inputs = [
        {**_column(column.name, column.kind), **({} if column.required else {"optional": True})}
        for column in found.inputs
    ]
    return inputs, [_column(name, kind) for name, kind in found.outputs.items()]


def _column(name: str, kind: Kind) -> dict[str, Any]:
    datatype, shape, is_json = tensor_of(kind)
    told = {"content_type": "hg_json"} if is_json else {}
    parameters = {"parameters": told} if told else {}
    return {"name": name, "datatype": datatype, "shape": shape, **parameters}
