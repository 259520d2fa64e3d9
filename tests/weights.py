"""Random weights that every version of transformers and PyTorch agrees on: they follow from the
names of the parameters alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file


def fill(model: Any, scale: float) -> Any:
    """`model` with other weights: matrices of normal numbers times `scale`, biases 0, norms 1."""
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            parameter.copy_(_drawn(name, parameter.shape, scale))
    return model


def fill_files(folder: Path, scale: float) -> Path:
    """`folder` with other weights in its .safetensors files."""
    for path in folder.glob("*.safetensors"):
        tensors = {n: _drawn(n, t.shape, scale) for n, t in load_file(path).items()}
        save_file(tensors, path, {"format": "pt"})
    return folder


def _drawn(name: str, shape: Sequence[int], scale: float) -> torch.Tensor:
    if len(shape) < 2:
        return torch.full(tuple(shape), 0.0 if name.endswith("bias") else 1.0)
    draw = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy((draw.standard_normal(shape) * scale).astype(np.float32))
