"""Classifiers of encoder-decoder models (BART, mBART, T5), whose forward selects each text's last
end token by a mask: an export would mix rows with other numbers of end tokens. Here the same token
is taken by its position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Forward = Callable[..., Mapping[str, torch.Tensor]]


def traceable_forward(model: Any) -> Forward:
    """The forward of `model` that gives the same and can be exported."""
    whole = getattr(model.config, "is_encoder_decoder", False)
    if whole and hasattr(model, "classification_head"):
        return lambda **inputs: _classified(model, **inputs)
    forward: Forward = model.forward
    return forward


def _classified(
    model: Any, input_ids: torch.Tensor, return_dict: bool = True, **inputs: torch.Tensor
) -> Mapping[str, torch.Tensor]:
    """{"logits": float32 [batch, labels]}."""
    if hasattr(model, "_shift_right"):  # T5's body does not make its decoder's inputs
        inputs["decoder_input_ids"] = model._shift_right(input_ids)
    states = model.base_model(input_ids, return_dict=return_dict, **inputs).last_hidden_state
    ends = input_ids.eq(model.config.eos_token_id).long()
    last = (ends * torch.arange(input_ids.shape[1])).argmax(dim=1)
    where = last[:, None, None].expand(-1, 1, states.shape[-1])
    return {"logits": model.classification_head(states.gather(1, where)[:, 0])}
