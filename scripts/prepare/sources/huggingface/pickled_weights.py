"""Weights as pickles, which may run any program when they are read: PyTorch reads the numbers alone
and refuses whatever else is in one."""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from onnxferry.system.errors import PrepareError

_ADVICE = "where you trust it, load it with transformers and save it again, as safetensors"


def check_pickles(files: Sequence[Path]) -> None:
    """Raise PrepareError for a .bin file of `files` that holds more than numbers, or is broken.
    Nothing in it is run, and its numbers are not loaded."""
    for path in files:
        if path.suffix != ".bin":
            continue
        try:
            torch.load(path, map_location="meta", weights_only=True)
        except pickle.UnpicklingError as e:
            lines = re.split(r"\n|WeightsUnpickler error: ", str(e))
            reason = next((line for line in lines if "nsupported" in line), lines[0])
            said = reason.partition(". Please")[0].strip().rstrip(".")
            what = f"{path}: holds more than weights: {said}"
            raise PrepareError(f"{what}. It is not read: {_ADVICE}") from e
        except Exception as e:  # zip files and old pickles are cut off in many ways
            raise PrepareError(f"{path}: not readable as PyTorch weights: {e}") from e
