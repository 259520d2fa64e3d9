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
_MODELS = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


def add(app: FastAPI, exchange: Exchange) -> None:
    """See the module."""
    answers = _Answers(exchange)
    for at, name in own_places(exchange):  # before NAME's, which would not know theirs
        for path, answer in ((at, answers.model), (f"{at}/ready", answers.model_ready)):
            told = partial(answer, name, VERSION)
            app.add_api_route(path, told, include_in_schema=False)
    for method, table in {"GET": answers.got(), "POST": answers.posted()}.items():
        for path, answer in table.items():
            plain = "{version}" not in path
            app.add_api_route(path, answer, methods=[method], tags=_TAGS, include_in_schema=plain)


class _Answers:
    """What each route answers."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def got(self) -> dict[str, Any]:
        """By path, with GET."""
        whole = {"/v2": self.server, "/v2/health/live": self.live, "/v2/health/ready": self.ready}
        models = dict.fromkeys(_MODELS, self.model)
        return {**whole, **models, **{f"{model}/ready": self.model_ready for model in _MODELS}}

    def posted(self) -> dict[str, Any]:
        """By path, with POST."""
        infer = {f"{model}/infer": self.infer for model in _MODELS}
        return {**infer, "/v2/repository/index": self.index}

    async def server(self) -> dict[str, Any]:
        """The server's metadata."""
        return {"name": "onnxferry", "version": described.version(), "extensions": EXTENSIONS}

    async def live(self) -> dict[str, Any]:
        """Whether the server runs."""
        return {"live": True}

    async def ready(self) -> dict[str, Any]:
        """Whether every model answers."""
        return {"ready": True}

    async def model(self, name: str, version: str = VERSION) -> dict[str, Any]:
        """A model's metadata: its tensors."""
        return metadata(self._of(name, version))

    async def model_ready(self, name: str, version: str = VERSION) -> dict[str, Any]:
        """Whether the model answers."""
        return {"name": self._of(name, version).name, "ready": True}

    async def infer(self, request: Request, name: str, version: str = VERSION) -> Response:
        """Named tensors in, named tensors out."""
        self._of(name, version)
        form = forms.name("v2", model=name, endpoint=endpoint(self._exchange, name))
        return await self._exchange.answer(request, name, form)

    async def index(self) -> Response:
        """The models that are loaded."""
        names = self._exchange.backend.models
        told = [{"name": n, "version": VERSION, "state": "READY", "reason": ""} for n in names]
        return JSONResponse(told)

    def _of(self, name: str, version: str) -> Served:
        if version != VERSION:
            raise NotFound(f"model {name!r} has the version {VERSION} only")
        return self._exchange.model(name)


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
