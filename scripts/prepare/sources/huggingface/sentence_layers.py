"""The modules of a sentence-transformers folder in torch: as the end of the model that is exported,
and as the reference that embeddings are compared with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from onnxferry.scripts.prepare.sources.settings.sentence_transformers import Layer, SentenceModel
from onnxferry.scripts.prepare.sources.source import prepare_errors
from onnxferry.system.errors import PrepareError, UsageError

_ROW = {0: "batch_size"}
Pool = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _sum(vectors: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of all vectors [batch, tokens, hidden], and of their weights [batch, tokens]."""
    column = weights.unsqueeze(-1).to(vectors.dtype)
    return (vectors * column).sum(1), column.sum(1)


def _mean(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    total, count = _sum(vectors, pooled)
    return total / count


def _root_mean(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    total, count = _sum(vectors, pooled)
    return total / count.sqrt()


def _weighted(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    total, weights = _sum(vectors, mask.cumsum(1) * pooled)
    return total / weights


def _max(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    return vectors.masked_fill(pooled.unsqueeze(-1) == 0, float("-inf")).max(1).values


def _at(vectors: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The vector at each row's position."""
    index = positions[:, None, None].expand(-1, 1, vectors.shape[-1])
    return torch.gather(vectors, 1, index).squeeze(1)


def _first(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    if pooled is mask:  # no prompt is left out: a form that variants/first_token.py knows
        return vectors[:, 0]
    return _at(vectors, (mask - pooled).sum(1))


def _last(vectors: torch.Tensor, mask: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    return _at(vectors, mask.sum(1) - 1)


# Of token vectors [batch, tokens, hidden], the attention mask, and the same without the prompt,
# both int64 [batch, tokens], with padding on the right.
POOLINGS: Mapping[str, Pool] = {
    "cls": _first,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _root_mean,
    "weightedmean": _weighted,
    "lasttoken": _last,
}


class SentenceEncoder(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A transformers model with its pooling and the modules after it: one vector a text."""

    onnx_outputs: Mapping[str, Any] = {"sentence_embedding": _ROW}

    def __init__(self, model: Any, sentence: SentenceModel) -> None:
        super().__init__()
        self.config = model.config
        self.model, self.poolings = model, sentence.poolings
        self.layers = torch.nn.ModuleList([_layer(layer) for layer in sentence.layers])
        self._takes_types = "token_type_ids" in inspect.signature(model.forward).parameters

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        pooling_mask: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> dict[str, torch.Tensor]:
        """All inputs int64 [batch, tokens]; `pooling_mask` is 0 for the tokens of a prompt that are
        not pooled. Gives float32 [batch, size]."""
        types = {"token_type_ids": token_type_ids} if self._takes_types else {}
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        vectors, pooled = found[0], attention_mask if pooling_mask is None else pooling_mask
        result = torch.cat(
            [POOLINGS[name](vectors, attention_mask, pooled) for name in self.poolings], -1
        )
        for layer in self.layers:
            result = layer(result)
        return {"sentence_embedding": result}


class _Dense(torch.nn.Module):  # type: ignore[misc]
    """A linear layer with an activation and, where the folder says so, what came in added."""

    def __init__(self, config: Mapping[str, Any], where: Path) -> None:
        super().__init__()
        sizes = int(config["in_features"]), int(config["out_features"])
        self.linear = torch.nn.Linear(*sizes, bias=bool(config.get("bias", True)))
        self.activation = _activation(config, where)
        self.adds = bool(config.get("use_residual"))
        if self.adds and sizes[0] != sizes[1]:
            self.residual = torch.nn.Linear(*sizes, bias=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[batch, in_features] -> [batch, out_features]"""
        result = self.activation(self.linear(vectors))
        return (
            result + getattr(self, "residual", torch.nn.Identity())(vectors)
            if self.adds
            else result
        )


class _LayerNorm(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, config: Mapping[str, Any], where: Path) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(int(config["dimension"]))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """The same shape out."""
        return self.norm(vectors)


class _Normalize(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, config: Mapping[str, Any], where: Path) -> None:
        super().__init__()

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """The same shape out, at length 1."""
        return torch.nn.functional.normalize(vectors, p=2, dim=-1)


_KINDS: Mapping[str, Any] = {"Dense": _Dense, "LayerNorm": _LayerNorm, "Normalize": _Normalize}


def _layer(layer: Layer) -> Any:
    """The module with its trained weights. Raises PrepareError, UsageError."""
    with prepare_errors(f"{layer.folder}: module {layer.kind}", KeyError, ValueError, TypeError):
        made = _KINDS[layer.kind](layer.config, layer.folder)
    if any(True for _ in made.parameters()):
        with prepare_errors(f"{layer.folder}: the weights do not fit", RuntimeError):
            made.load_state_dict(_weights(layer.folder))
    return made.float().eval()


def _weights(folder: Path) -> Mapping[str, Any]:
    """By name; a pickle is read as numbers alone."""
    safe, older = folder / "model.safetensors", folder / "pytorch_model.bin"
    with prepare_errors(f"{folder}: weights that cannot be read"):
        if safe.is_file():
            return dict(load_file(safe))
        if older.is_file():
            return dict(torch.load(older, map_location="cpu", weights_only=True))
    raise PrepareError(f"{folder}: holds no {safe.name} and no {older.name}")


def _activation(config: Mapping[str, Any], where: Path) -> Any:
    """One of torch.nn; Tanh by default, as in the library."""
    path = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    kind = (
        getattr(torch.nn, path.rpartition(".")[2], None) if path.startswith("torch.nn.") else None
    )
    if not (inspect.isclass(kind) and issubclass(kind, torch.nn.Module)):
        known = "expected one of torch.nn, such as torch.nn.modules.activation.Tanh"
        raise UsageError(f"{where / 'config.json'}: activation_function {path}; {known}")
    return kind()


def with_layers(model: Any, sentence: SentenceModel) -> Any:
    """`model`, or with the modules that the graph must hold."""
    return SentenceEncoder(model, sentence).eval() if sentence.layers else model


def pad_with(model: Any, pad_token_id: int | None) -> None:
    """Tell a decoder's head what is padding; without a padding token an id that no text has, so
    that it reads the last position, as transformers does for one text."""
    config = model.config.get_text_config()
    config.pad_token_id = config.vocab_size if pad_token_id is None else pad_token_id
