"""DeepSparse's image classification: {"images": picture or [picture, ...]} -> {"labels", "scores"},
the top_k of one picture, or a list each for several.

As there, scores are the graph's own numbers, and labels are numbers unless `class_names`, or the
model directory, names them. A picture is bytes, base64, or rows of pixels [height, width, 3] from 0
to 255, also [3, height, width].
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.pipelines.arguments import Values
from onnxferry.pipelines.errors import InvalidInput, PipelineError
from onnxferry.pipelines.outputs import ImageClassificationOutput
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask, Request
from onnxferry.scoring import validation
from onnxferry.scoring.codecs import Image
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.labels import Labels, logits_output
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter


def _class_names(value: Any, where: str) -> Mapping[int, str]:
    """Of a dict, a list, or a JSON file of either: the name of each class."""
    if isinstance(value, str | Path):
        try:
            value = json.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as e:
            raise PipelineError(f"'{where}': {value} is not readable as JSON ({e})") from e
    pairs = enumerate(value) if isinstance(value, list | tuple) else dict(value).items()
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError) as e:
        raise PipelineError(f"'{where}' must map the numbers of classes to names ({e})") from e


def _size(value: object, where: str) -> list[int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise PipelineError(f"'{where}' must be two integers, height and width, got {value!r}")
    return [validation.positive(side, where) for side in value]


ARGUMENTS = {
    "top_k": Parameter(validation.positive, 1),
    "class_names": Parameter(_class_names),
    "image_size": Parameter(_size),
}


def _spec(spec: ModelSpec, values: dict[str, Any], folder: Path) -> ModelSpec:
    if (names := values["class_names"]) is None:
        return spec
    if missing := [number for number in range(len(spec.labels)) if number not in names]:
        what = f"the graph gives {len(spec.labels)} scores"
        raise PipelineError(f"'class_names' has no name for class {missing[0]}; {what}")
    return replace(spec, labels=tuple(names[number] for number in range(len(spec.labels))))


def _payload(request: Request, values: Values) -> Any:
    images = validation.member(request, "images")
    several = isinstance(images, list | tuple) and not _is_pixels(images)
    read = [picture(image) for image in (images if several else [images])]
    return {"inputs": read, "parameters": {"top_k": values["top_k"], "function_to_apply": "none"}}


def _is_pixels(value: Any) -> bool:
    """Whether a list is one picture, [height, width, 3] of numbers, and not several pictures."""
    depth = 0
    while isinstance(value, list | tuple) and value:
        value, depth = value[0], depth + 1
    return depth == 3 and isinstance(value, int | float)


def picture(value: Any) -> Any:
    """What scoring takes of a picture: rows of pixels as a bitmap, anything else as it is."""
    pixels = isinstance(value, np.ndarray | list | tuple)
    return Image(bitmap(np.asarray(value))) if pixels else value


def bitmap(pixels: Array) -> bytes:
    """The file (BMP, 24 bits) of uint8 [height, width, 3] or [3, height, width]."""
    if pixels.ndim != 3 or 3 not in (pixels.shape[0], pixels.shape[-1]):
        shape = list(pixels.shape)
        raise InvalidInput(f"'images' holds pixels of shape {shape}; expected [height, width, 3]")
    if pixels.shape[-1] != 3:
        pixels = pixels.transpose(1, 2, 0)
    height, width, _ = pixels.shape
    row = (width * 3 + 3) // 4 * 4
    data = np.zeros((height, row), np.uint8)
    data[:, : width * 3] = pixels.astype(np.uint8)[::-1, :, ::-1].reshape(height, -1)
    head = struct.pack("<2sIHHI", b"BM", 54 + data.size, 0, 0, 54)
    return (
        head
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, data.size, *(0,) * 4)
        + (data.tobytes())
    )


def _opened(request: Request) -> Request:
    images = request.get("images")
    several = isinstance(images, list | tuple) and not _is_pixels(images)
    read = [_file(image) for image in images] if several and images else _file(images)
    return {**request, "images": read}


def _file(value: Any) -> Any:
    """The bytes of a file by its path, or of a picture of Pillow; anything else as it is."""
    if isinstance(value, str | Path):
        try:
            return Image(Path(value).read_bytes())
        except OSError as e:
            raise InvalidInput(f"'images': {value} is not readable ({e.strerror or e})") from e
    if not hasattr(value, "save") or not hasattr(value, "mode"):
        return value
    content = io.BytesIO()
    value.save(content, "PNG", compress_level=0)
    return Image(content.getvalue())


def _raw(request: Request, spec: ModelSpec, runner: Runner) -> Any:
    """All labels of [pictures, channels, height, width]: uint8, which is normalised, or as the
    graph takes it."""
    pixels = request.get("images")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 4:
        return None
    if pixels.dtype == np.uint8:
        settings = spec.settings
        mean, std = (np.array(settings[k], np.float32) for k in ("image_mean", "image_std"))
        pixels = pixels * np.float32(settings["rescale_factor"])
        pixels = (pixels - mean[:, None, None]) / std[:, None, None]
    if (dtype := pixels.dtype) not in (np.float32, np.float64):
        raise InvalidInput(f"'images' is {dtype}; expected uint8 or float32")
    (tensor,) = runner.inputs
    scores = runner.run({tensor.name: pixels})[logits_output(runner)]
    labels = Labels(spec.labels, runner)
    return [labels.top(row, None) for row in scores]


def _response(request: Request, answer: Any, values: Values) -> dict[str, Any]:
    answer = [best[: values["top_k"]] for best in answer]
    labels = [[_label(entry["label"], values) for entry in best] for best in answer]
    scores = [[entry["score"] for entry in best] for best in answer]
    one = len(answer) == 1
    return {"labels": labels[0] if one else labels, "scores": scores[0] if one else scores}


def _label(name: str, values: Values) -> int | str:
    return int(name) if values["unnamed"] and values["class_names"] is None else name


TASK = PipelineTask(
    name="image_classification",
    ours="image-classification",
    inputs=("images",),
    arguments=ARGUMENTS,
    output=ImageClassificationOutput,
    spec=_spec,
    payload=_payload,
    response=_response,
    opened=_opened,
    raw=_raw,
)
