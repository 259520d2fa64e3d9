"""What the image tasks share: reading, preprocessing and running the pictures of a request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from onnxferry.scoring import images, limits, timing, urls, validation
from onnxferry.scoring.codecs import Image
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidType, InvalidValue, UrlNotAllowed
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.pixel_input import PixelInput
from onnxferry.scoring.slots import Slots

BATCH = 8  # images a run, and their pixels after the last step: both bound its memory
RUN_PIXELS = BATCH * 384 * 384
T = TypeVar("T")


def read_image(value: object, where: str) -> bytes:
    """The bytes of an image, a base64 string or a data: URL."""
    if isinstance(value, Image):
        return value.data
    if url := urls.named(value):  # one that was to be fetched is an Image by now
        off = f"'{url.where or where}' is a URL, which is not fetched; send the picture's bytes"
        raise UrlNotAllowed(f"{off}. A host allows URLs by {urls.ALLOW}=true")
    if not isinstance(value, str):
        raise InvalidType(f"'{where}' must be a picture in base64, got {validation.kind(value)}")
    text = validation.text(value, where)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return _decoded(text)
    except (binascii.Error, ValueError) as e:
        raise InvalidValue(f"'{where}' is not base64 of a picture") from e


def _decoded(text: str) -> bytes:
    """Of base64, in which line breaks, as its command writes them, and spaces mean nothing."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return base64.b64decode("".join(text.split()), validate=True)


@dataclass(frozen=True)
class Pictures:
    """The encoded pictures of one request's body, and whether a list came."""

    items: Sequence[bytes]
    many: bool
    body: Mapping[str, Any]

    def shape(self, answers: Sequence[Any]) -> Any:
        """A list for a list, the one answer for one picture."""
        return list(answers) if self.many else answers[0]


@dataclass(frozen=True)
class _Prepared:
    """`pixels` [channels, height, width], and the picture's own (height, width)."""

    pixels: Array
    size: tuple[int, int]


@dataclass(frozen=True)
class ImageRunner:
    """The preprocessing and the graph of an image task."""

    runner: Runner
    preprocessing: images.Preprocessing
    pixels: PixelInput
    limits: limits.Limits
    slots: Slots

    @staticmethod
    def load(spec: ModelSpec, runner: Runner, settings: Mapping[str, Any]) -> ImageRunner:
        """`settings` hold those of images.SETTINGS. Raises ValueError or ModelError for a graph
        that takes something else."""
        if (count := len(runner.inputs)) != 1:
            raise ValueError(f"{spec.task} needs a graph with one input, not {count}")
        preprocessing = images.Preprocessing.read(settings)
        pixels = PixelInput.of(runner, preprocessing)
        slots = Slots(runner.parallel_runs)
        images.load_formats()
        return ImageRunner(runner, preprocessing, pixels, spec.limits, slots)

    def read(self, payload: Any) -> Pictures:
        """The pictures of a body: the bytes of one, or those in `inputs`. Raises TooLarge."""
        bare = isinstance(payload, Image)
        body = {"inputs": payload} if bare else validation.mapping(payload, "the body")
        inputs = validation.member(body, "inputs")
        encoded, many = validation.one_or_list(inputs, read_image, self.limits.items)
        return Pictures(encoded, many, body)

    def run(self, pictures: Pictures, read: Callable[[list[Array], tuple[int, int]], T]) -> list[T]:
        """What `read` makes of each picture's row of every output and its (height, width) in
        pixels, before any step."""
        size = 1 if self.runner.batch_dependent else self.pixels.rows or BATCH
        found = list[T]()
        for i in range(0, len(pictures.items), size):
            with self.slots.taken():  # decoded pictures take more memory than a run
                for batch in self._batches(pictures.items[i : i + size]):
                    outputs = self._outputs(batch)
                    found += (read([o[k] for o in outputs], p.size) for k, p in enumerate(batch))
        return found

    def _outputs(self, batch: list[_Prepared]) -> list[Array]:
        timing.count(batch=len(batch))
        with timing.stage("preprocess"):
            feeds = self.pixels.feeds([picture.pixels for picture in batch])
        with timing.stage("engine"):
            return self.runner.run(feeds)

    def _batches(self, encoded: Sequence[bytes]) -> Iterator[list[_Prepared]]:
        """In order; pictures that share a run have one shape, so that none is padded."""
        with timing.stage("preprocess"):
            prepared = [self._prepared(data) for data in encoded]
        timing.switch("postprocess")
        for _, batch in groupby(prepared, lambda picture: picture.pixels.shape):
            yield from self._runs(list(batch))

    def _runs(self, batch: list[_Prepared]) -> Iterator[list[_Prepared]]:
        """Pictures of one shape by runs: large ones, as detectors take them, one by one."""
        most = self.pixels.rows or max(1, RUN_PIXELS * 3 // batch[0].pixels.size)
        return (batch[i : i + most] for i in range(0, len(batch), most))

    def _prepared(self, data: bytes) -> _Prepared:
        image = images.decode(data, self.limits.pixels, self.preprocessing.mode)
        width, height = image.size
        return _Prepared(self.pixels.check(self.preprocessing.apply(image)), (height, width))
