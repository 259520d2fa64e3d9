"""Encoded images to model input. The only place that imports Pillow, when an image task is
loaded."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import InvalidImage, InvalidValue
from onnxferry.scoring.limits import exceeded
from onnxferry.scoring.settings import REQUIRED
from onnxferry.scoring.validation import Parameter, number

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
Step = Callable[[Any, Mapping[str, Any]], Any]
MAX_RESIZED = 50_000_000  # pixels that a step may make of an image
# Bytes that Pillow asks for at a time: a large picture as one block goes back to the system at its
# end. In Pillow's usual blocks of 16 MB it stays with the thread that decoded it.
_BLOCK = 2**28
# Pillow's numbers
_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_NO_RANGE = {"I": "32-bit or signed integers", "F": "floating-point numbers"}


def load_formats() -> None:
    """Import Pillow with the readers of FORMATS, at a start and not when the first picture comes.
    The first WebP or TIFF would bring in all of Pillow's 40 readers."""
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        ImageOps,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    Image.core.set_block_size(_BLOCK)


def decode(data: bytes, max_pixels: int, mode: str = "RGB") -> Any:
    """The PIL.Image of `data` in RGB or, for the `mode` L, in grey; EXIF orientation applied.
    Raises InvalidImage, or TooLarge before more than `max_pixels` are decompressed."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels:
            raise exceeded(f"the picture has {width}x{height} pixels", max_pixels, "pixels")
        ImageOps.exif_transpose(image, in_place=True)
        return _converted(_in_colour(image), mode)
    except UnidentifiedImageError as e:
        what = f"the {len(data)} bytes are not a picture in one of {', '.join(FORMATS)}"
        raise InvalidImage(what) from e
    except Image.DecompressionBombError as e:
        raise exceeded("the picture has too many pixels", max_pixels, "pixels") from e
    except (OSError, SyntaxError, ValueError, EOFError) as e:  # Pillow's for damaged data
        raise InvalidImage(f"the picture is truncated or damaged ({len(data)} bytes came)") from e


def _in_colour(image: Any) -> Any:
    """RGB with 8 bits. Pillow clips grey of 16 bits; the high byte counts, as it does where Pillow
    reads colours of 16 bits."""
    from PIL import Image

    if image.mode in _SIXTEEN_BITS:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if what := _NO_RANGE.get(image.mode):
        send = "send 8 or 16 bits for each colour"
        raise InvalidImage(f"the picture holds {what}, of which it tells no range; {send}")
    if image.mode == "LAB":
        raise InvalidImage("the picture's colours are in CIELAB, which is not read; send RGB")
    return _converted(image, "RGB")


def _converted(image: Any, mode: str) -> Any:
    """`image` itself where it has the mode: Pillow would copy it, 4 bytes a pixel."""
    image.load()
    return image if image.mode == mode else image.convert(mode)


def _resize(image: Any, step: Mapping[str, Any]) -> Any:
    height, width = step["size"]
    return image.resize((width, height), _RESAMPLE[step.get("resample", "bilinear")])


def _resize_shortest(image: Any, step: Mapping[str, Any]) -> Any:
    width, height = image.size
    size = step["size"]
    longest = int(size * max(width, height) / min(width, height))
    if size * longest > MAX_RESIZED:
        what = f"the picture has {width}x{height} pixels"
        raise InvalidImage(f"{what}; it is too narrow to be resized to {size} pixels")
    return _resize(image, {**step, "size": (longest, size) if width <= height else (size, longest)})


def _resize_within(image: Any, step: Mapping[str, Any]) -> Any:
    """The shorter side to size[0], unless the longer one would be above size[1]; with `multiple`
    both are cut to multiples of it."""
    height, width = _within(image.size, step["size"], multiple := step.get("multiple", 1))
    size = height // multiple * multiple, width // multiple * multiple
    if not 0 < size[0] * size[1] <= MAX_RESIZED:
        what = f"the picture has {image.size[0]}x{image.size[1]} pixels"
        raise InvalidImage(f"{what}; it is too narrow to be resized within {step['size']} pixels")
    return _resize(image, {**step, "size": size})


def _within(image: tuple[int, int], size: Sequence[int], multiple: int) -> tuple[int, int]:
    """(height, width), rounded as transformers' processors of DETR and, with a multiple, YOLOS."""
    width, height = image
    shortest, longest = size
    low, high = min(image), max(image)
    exact = float(shortest) if high / low * shortest <= longest else longest * low / high
    side, tall = round(exact), width < height
    if side == low and not (tall and multiple > 1):
        return height, width
    other = int(exact * high / low)
    return (other, side) if tall else (side, other)


def _center_crop(image: Any, step: Mapping[str, Any]) -> Any:
    height, width = step["size"]
    left, top = (image.size[0] - width) // 2, (image.size[1] - height) // 2
    return image.crop((left, top, left + width, top + height))


def _center_crop_fraction(image: Any, step: Mapping[str, Any]) -> Any:
    side = max(1, int(step["fraction"] * min(image.size)))
    return _center_crop(image, {"size": (side, side)})


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value <= 10_000


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_size, value))


def _is_fraction(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= 1


_PAIR = "a list of two integers, height and width"
_FRACTION = "a number above 0, at most 1"
# each step's function, its key, the check of its value, and what fits
STEPS: dict[str, tuple[Step, str, Callable[[Any], bool], str]] = {
    "resize": (_resize, "size", _is_pair, _PAIR),
    "resize_shortest": (_resize_shortest, "size", _is_size, "an integer"),
    "resize_within": (_resize_within, "size", _is_pair, "a list of two integers, the sides"),
    "center_crop": (_center_crop, "size", _is_pair, _PAIR),
    "center_crop_fraction": (_center_crop_fraction, "fraction", _is_fraction, _FRACTION),
}


def _read_steps(value: object, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise InvalidValue(f"'{where}' must be a list of steps")
    for i, step in enumerate(value):
        entry, op = f"'{where}[{i}]'", step.get("op") if isinstance(step, dict) else step
        if not isinstance(step, dict) or op not in STEPS:
            raise InvalidValue(f"{entry}: preprocess step {op!r} is not one of {', '.join(STEPS)}")
        _, key, fits, expected = STEPS[op]
        if not fits(step.get(key)):
            raise InvalidValue(f"'{where}[{i}].{key}' must be {expected}")
        if not _is_size(step.get("multiple", 1)):
            raise InvalidValue(f"'{where}[{i}].multiple' must be an integer")
        if (resample := step.get("resample", "bilinear")) not in _RESAMPLE:
            known = ", ".join(_RESAMPLE)
            raise InvalidValue(f"{entry}: resample {resample!r} is not one of {known}")
    return value


def _read_channels(value: object, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) not in (1, 3):
        raise InvalidValue(f"'{where}' must be a list of three numbers, or of one for grey")
    return [number(entry, f"{where}[{i}]") for i, entry in enumerate(value)]


SETTINGS: Mapping[str, Parameter] = {
    "preprocess": Parameter(_read_steps, REQUIRED),
    "rescale_factor": Parameter(number, REQUIRED),
    "image_mean": Parameter(_read_channels, REQUIRED),
    "image_std": Parameter(_read_channels, REQUIRED),
}
"""`preprocess` is a list of STEPS, each {"op", ...}; for the rest see Preprocessing."""


def final_size(steps: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """(height, width) that every picture has after `steps`; None where it depends on the
    picture."""
    size: tuple[int, int] | None = None
    for step in steps:
        if step["op"] in ("resize", "center_crop"):
            size = (step["size"][0], step["size"][1])
        elif step["op"] == "center_crop_fraction" and size:
            size = (max(1, int(step["fraction"] * min(size))),) * 2
        else:
            size = None
    return size


@dataclass(frozen=True)
class Preprocessing:
    """`steps` on the image, then (x * rescale_factor - mean) / std, then channels first. `mean` and
    `std` hold a number a channel: three, or one for pictures in grey."""

    steps: Sequence[Mapping[str, Any]]
    rescale_factor: float
    mean: Array
    std: Array

    @staticmethod
    def read(settings: Mapping[str, Any]) -> Preprocessing:
        """From settings, as read, that hold those of SETTINGS. Raises ValueError where mean and std
        are of different channels."""
        mean, std = (np.array(settings[key], np.float32) for key in ("image_mean", "image_std"))
        if len(mean) != len(std):
            what = f"'settings.image_mean' has {len(mean)} number(s) and 'image_std' {len(std)}"
            raise ValueError(f"{what}; both need one a channel")
        return Preprocessing(tuple(settings["preprocess"]), settings["rescale_factor"], mean, std)

    @property
    def mode(self) -> str:
        """Of the images that `apply` takes."""
        return "L" if len(self.mean) == 1 else "RGB"

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that every picture gets; None where it depends on the picture."""
        return final_size(self.steps)

    def apply(self, image: Any) -> Array:
        """float32 [channels, height, width] of a PIL.Image of `mode`."""
        for step in self.steps:
            image = STEPS[step["op"]][0](image, step)
        pixels = np.asarray(image)
        pixels = pixels.reshape(*pixels.shape[:2], len(self.mean))
        # channels first: arithmetic in the picture's own order takes 3 times as long
        made = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
        made *= np.float32(self.rescale_factor)
        made -= self.mean[:, None, None]
        made /= self.std[:, None, None]
        return made
