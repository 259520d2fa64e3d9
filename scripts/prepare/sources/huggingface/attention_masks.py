"""Attention masks of transformers 4 in a form that torch.onnx.export can trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from transformers import masking_utils

_BY_VMAP = "_vmap_for_bhqkv"


@contextmanager
def traceable_masks() -> Iterator[None]:
    """Within the block masks are made by broadcasting. transformers 4 makes those of decoders by
    torch.vmap, which a trace cannot hold; transformers 5 broadcasts by itself where it can."""
    if not _by_vmap():
        yield
        return
    # its context manager rewrites indexing for vmap alone
    with (
        mock.patch.object(masking_utils, _BY_VMAP, _broadcast),
        mock.patch.object(masking_utils, "TransformGetItemToIndex", _nothing),
    ):
        yield


def _by_vmap() -> bool:
    return hasattr(masking_utils, _BY_VMAP) and not hasattr(
        masking_utils, "_non_vmap_expansion_sdpa"
    )


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _broadcast(function: Callable[..., Any], bh_indices: bool = True) -> Callable[..., Any]:
    """`function` of four index vectors, over all of their combinations."""

    def masks(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        if not bh_indices:
            return function(batch, head, query[:, None], key[None, :])
        return function(
            batch[:, None, None, None],
            head[None, :, None, None],
            query[None, None, :, None],
            key[None, None, None, :],
        ).expand(batch.shape[0], head.shape[0], query.shape[0], key.shape[0])

    return masks
