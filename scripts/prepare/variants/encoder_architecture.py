"""What a transformer encoder's graph should hold, told by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Attention = Literal["plain", "rotary", "relative", "causal"]

# as transformers names them
_SIZES = {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "dim"}
_ACTIVATIONS = ("hidden_act", "hidden_activation", "activation", "activation_function")
_ROTARY = ("rope_parameters", "rope_theta", "global_rope_theta", "rope_scaling")
_RELATIVE = ("relative_attention", "relative_attention_num_buckets")
# model_type -> norms of a layer, and others; where they are not two: ModernBERT's first layer lacks
# one, and there are two around the layers; Qwen3 has one for queries and one for keys
_NORMS = {"modernbert": (2, 1), "qwen3": (4, 1), "qwen3_next": (4, 1)}


@dataclass(frozen=True)
class Architecture:
    """A transformer encoder; `activation` by its name in transformers; `norms`: at least so many
    normalisations, 0 for two a layer."""

    num_layers: int
    activation: str = "gelu"
    attention: Attention = "plain"
    norms: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Architecture | None:
        """From a transformers configuration; None where it is no encoder's."""
        sizes = [config.get(name, config.get(other)) for name, other in _SIZES.items()]
        if not all(isinstance(size, int) for size in sizes):
            return None
        layers = sizes[0]
        named = (config[key] for key in _ACTIVATIONS if config.get(key))
        each, others = _NORMS.get(str(config.get("model_type")), (0, 0))
        return cls(
            layers, str(next(named, cls.activation)), _attention(config), layers * each + others
        )

    def expected(self) -> dict[str, int]:
        """The least number of fused operators of each kind."""
        found: dict[str, int] = {}
        if self.attention == "plain":
            found["Attention"] = self.num_layers
        if self.attention == "rotary":
            found["RotaryEmbedding"] = 2 * self.num_layers  # of queries and keys
        if "gelu" in self.activation:
            found["Gelu"] = self.num_layers
        return {**found, "LayerNormalization": self.norms or 2 * self.num_layers}


def _attention(config: Mapping[str, Any]) -> Attention:
    positions = str(config.get("position_embedding_type", ""))
    if any(config.get(key) for key in _ROTARY) or positions.startswith("ro"):
        return "rotary"
    if any(config.get(key) for key in _RELATIVE) or positions.startswith("relative"):
        return "relative"
    return "causal" if config.get("is_decoder") else "plain"
