"""The input of a graph for pixels: the order of its axes, and the sizes that it fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxferry.scoring.engine import Array, Runner, repeated
from onnxferry.scoring.errors import InvalidImage, ModelError
from onnxferry.scoring.graph_inputs import listed
from onnxferry.scoring.images import Preprocessing

_AXES = ("channels", "height", "width")


@dataclass(frozen=True)
class PixelInput:
    """`shape`: the graph's channels, height and width, names where they are open. `rows` of every
    run, where the graph fixes them. `channels_last`: it takes [batch, height, width, channels]."""

    name: str
    shape: tuple[int | str, ...]
    rows: int | None
    channels_last: bool

    @staticmethod
    def of(runner: Runner, preprocessing: Preprocessing) -> PixelInput:
        """Raises ModelError unless the graph takes what `preprocessing` makes."""
        tensor, channels = runner.inputs[0], len(preprocessing.mean)
        shape = tensor.shape or ("batch", *_AXES)  # a graph need not say it
        takes = f"model.onnx takes {listed([tensor])}"
        if len(shape) != 4:
            raise ModelError(f"{takes}; a graph for pictures takes [batch, {', '.join(_AXES)}]")
        last = shape[3] == channels != shape[1]
        own = (shape[3], shape[1], shape[2]) if last else shape[1:]
        made = (channels, *(preprocessing.size or _AXES[1:]))
        if not _fits(made, own):
            makes = f"the preprocessing in model_spec.json makes {_text(made)} of a picture"
            advice = "set the sizes in 'preprocess', and one number a channel in 'image_mean'"
            raise ModelError(f"{takes}, and {makes}; {advice} and 'image_std'")
        rows = shape[0] if isinstance(shape[0], int) else None
        return PixelInput(tensor.name, own, rows, last)

    def check(self, pixels: Array) -> Array:
        """`pixels` [channels, height, width]. Raises InvalidImage where the graph takes no such."""
        if not _fits(pixels.shape, self.shape):
            becomes = f"the picture becomes {_text(pixels.shape)}, and the model takes"
            raise InvalidImage(f"{becomes} {_text(self.shape)}; send one of another shape")
        return pixels

    def feeds(self, pixels: Sequence[Array]) -> dict[str, Array]:
        """What the graph takes of pictures of one shape."""
        batch = np.stack(pixels)
        feeds = {self.name: batch.transpose(0, 2, 3, 1) if self.channels_last else batch}
        return feeds if self.rows is None else repeated(feeds, self.rows)


def _fits(made: Sequence[int | str], taken: Sequence[int | str]) -> bool:
    pairs = zip(made, taken, strict=True)
    return all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))


def _text(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
