"""An image processor's configuration as scoring's preprocessing steps. What they cannot express is
refused: wrong preprocessing costs accuracy unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxferry.scoring.images import Preprocessing, decode, final_size
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.prepare.sources.sample_image import sample_image
from onnxferry.scripts.prepare.sources.settings.text_settings import DEFAULTS
from onnxferry.system.errors import PrepareError, UsageError

RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
_REFUSED = (
    *("pad_size", "do_flip_channel_order", "do_thumbnail", "do_align_long_axis"),
    *("rescale_offset", "do_grayscale"),
)
NEEDED = ("preprocess", "rescale_factor", "image_mean", "image_std")
_ADVICE = "write the preprocessing into --settings FILE"


def is_image_task(task: str) -> bool:
    """Whether its requests are pictures."""
    return "pillow" in TASKS.get(task, ())


def image_settings(
    processor: Mapping[str, Any], given: Mapping[str, Any], task: str = "image-classification"
) -> dict[str, Any]:
    """From a transformers image processor ({} for none) and, in it, the `num_channels` that the
    model takes; then the user's, `given`."""
    own = {key: given[key] for key in ("image_mean", "image_std") if key in given}
    derived = _derived({**processor, **own}) if processor else {}
    settings = {**DEFAULTS[task], **derived, **given}
    if missing := ", ".join(key for key in NEEDED if key not in settings):
        why = "there is no image processor to read them from"
        raise UsageError(f"--settings FILE is needed with {missing}: {why}")
    return settings


def _derived(processor: Mapping[str, Any]) -> dict[str, Any]:
    if odd := [key for key in _REFUSED if processor.get(key)]:
        kind = processor.get("image_processor_type", "the image processor")
        raise UsageError(f"{kind} uses {', '.join(odd)}, which cannot be derived; {_ADVICE}")
    mean, std = (_by_channel(processor, key) for key in ("image_mean", "image_std"))
    if processor.get("include_top"):  # EfficientNet's: divided by the deviation once more
        std = [a * b for a, b in zip(std, _given(processor, "image_std", len(std)), strict=True)]
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1
    steps = [*_resize(processor), *_crop(processor)]
    return {"preprocess": steps, "rescale_factor": factor, "image_mean": mean, "image_std": std}


def _by_channel(processor: Mapping[str, Any], key: str) -> list[float]:
    """`image_mean` or `image_std` with a number for each channel that the model takes. One number
    stands for all; three alike stand for the one of pictures in grey."""
    if (channels := processor.get("num_channels", 3)) not in (1, 3):
        raise UsageError(f"the model takes {channels} channels; pictures have 3, or 1 in grey")
    if not processor.get("do_normalize", True):
        return [0.0 if key == "image_mean" else 1.0] * channels
    found = _given(processor, key, channels)
    if len(found) == channels:
        return found
    if channels == 1 and len(set(found)) == 1:
        return found[:1]
    held = f"the image processor's {key} is {found}, and the model takes {channels} channel(s)"
    raise UsageError(f"{held}; {_ADVICE}")


def _given(processor: Mapping[str, Any], key: str, channels: int) -> list[float]:
    value = processor[key]
    return list(value) if isinstance(value, list | tuple) else [value] * channels


def _resize(processor: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not processor.get("do_resize", True):
        return []
    size, resample = processor["size"], RESAMPLE[processor.get("resample", 2)]
    if "height" in size:
        return [{"op": "resize", "size": [size["height"], size["width"]], "resample": resample}]
    shortest, longest = size.get("shortest_edge"), size.get("longest_edge")
    if shortest and longest:
        return [_within(processor, [shortest, longest], resample)]
    if shortest is None or longest:
        raise UsageError(f"the image processor's size {size} cannot be derived; {_ADVICE}")
    if processor.get("crop_pct"):
        return _crop_pct(shortest, processor["crop_pct"], resample)
    if _kind(processor).startswith("Levit"):
        shortest = int(256 / 224 * shortest)  # as its processor does with every size
    return [{"op": "resize_shortest", "size": shortest, "resample": resample}]


def _within(processor: Mapping[str, Any], size: list[int], resample: str) -> dict[str, Any]:
    multiple = {"multiple": 16} if _kind(processor).startswith("Yolos") else {}
    return {"op": "resize_within", "size": size, **multiple, "resample": resample}


def _kind(processor: Mapping[str, Any]) -> str:
    return str(processor.get("image_processor_type", ""))


def _crop_pct(size: int, share: float, resample: str) -> list[dict[str, Any]]:
    """As ConvNeXT: small sizes are resized larger and cropped."""
    if size >= 384:
        return [{"op": "resize", "size": [size, size], "resample": resample}]
    larger = {"op": "resize_shortest", "size": int(size / share), "resample": resample}
    return [larger, {"op": "center_crop", "size": [size, size]}]


def _crop(processor: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not processor.get("do_center_crop"):
        return []
    size = processor["crop_size"]
    return [{"op": "center_crop", "size": [size["height"], size["width"]]}]


def check_pixels(settings: Mapping[str, Any], processor: Any) -> None:
    """Raise PrepareError unless the settings make the processor's pixels, float32 [channels, h,
    w]."""
    preprocessing = Preprocessing.read(settings)
    grey = {key: settings[key] for key in ("image_mean", "image_std")}
    for width, height in ((300, 200), (200, 300)):
        picture = decode(sample_image(width, height), width * height, preprocessing.mode)
        ours = preprocessing.apply(picture)
        if preprocessing.mode == "L":  # a picture in grey has no axis for its channel
            theirs = processor(np.asarray(picture)[None], return_tensors="np", **grey)
        else:
            theirs = processor(picture, return_tensors="np")
        theirs = theirs["pixel_values"][0]
        worst = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
        if not worst <= 1e-3:
            far = f"shape {ours.shape} against {theirs.shape}, maximum difference {worst:.3g}"
            what = "the settings derived from the image processor do not make its pixels"
            raise PrepareError(f"{what}: {far}; {_ADVICE}")


def has_open_size(settings: Mapping[str, Any]) -> bool:
    """Whether the steps end with another size for each picture."""
    return final_size(settings["preprocess"]) is None


def input_size(settings: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) in pixels that the steps end with."""
    if size := final_size(settings["preprocess"]):
        return size
    expected = "must end at a fixed size: a 'resize' or 'center_crop' with [h, w]"
    raise UsageError(f"'preprocess' in --settings {expected}")
