"""What embeddings are compared with: sentence-transformers itself where it is installed and the
folder is one of its own, else its recipe in torch behind transformers' tokenizer."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from onnxferry.scripts.prepare.sources.huggingface.sentence_layers import POOLINGS, SentenceEncoder
from onnxferry.scripts.prepare.sources.source import AskPipeline

_ASKS = {"prompt", "prompt_name"}  # what the library is asked besides a text
_LARGEST = 2**31  # bytes of weights that the library loads a second time


@dataclass(frozen=True)
class TorchRecipe:
    """The source model, its tokenizer and the settings that will serve it. `lower_case`: whether
    texts are lowercased first."""

    model: Any
    tokenizer: Any
    settings: Mapping[str, Any]
    lower_case: bool

    def __call__(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        """The vectors of a text, nested lists; of sentences to compare those of each."""
        settings = {**self.settings, **parameters}
        if isinstance(inputs, str):
            return self._vectors(inputs, settings).tolist()
        texts = [inputs["source_sentence"], *inputs["sentences"]]
        one, *others = (self._vectors(text, settings) for text in texts)
        return [_similarity(settings["similarity"], one, other) for other in others]

    def _vectors(self, text: str, settings: Mapping[str, Any]) -> torch.Tensor:
        """[size], or [1, tokens, size] without pooling."""
        prompt = settings.get("prompt")
        if prompt is None:
            name = settings.get("prompt_name") or settings.get("default_prompt_name")
            prompt = settings.get("prompts", {}).get(name, "")
        fed = self._fed(prompt + text, settings)
        mask = fed.get("attention_mask", torch.ones_like(fed["input_ids"]))
        pooled = mask.clone()
        if prompt and not settings.get("include_prompt", True):
            pooled[:, : self._prompt_length(prompt, settings)] = 0
        vectors = self._pooled(fed, mask, pooled, settings)[..., : settings.get("dimensions")]
        return torch.nn.functional.normalize(vectors, dim=-1) if settings["normalize"] else vectors

    def _pooled(
        self, fed: Any, mask: torch.Tensor, pooled: torch.Tensor, settings: Mapping[str, Any]
    ) -> torch.Tensor:
        taken = inspect.signature(self.model.forward).parameters
        known = {name: value for name, value in fed.items() if name in taken}
        with torch.inference_mode():
            if isinstance(self.model, SentenceEncoder):
                return self.model(**known, pooling_mask=pooled)["sentence_embedding"][0]
            vectors = self.model(**known, return_dict=True)["last_hidden_state"]
            names = settings["pooling"]
            if names == "none":
                return vectors
            names = [names] if isinstance(names, str) else names
            return torch.cat([POOLINGS[name](vectors, mask, pooled)[0] for name in names])

    def _fed(self, text: str, settings: Mapping[str, Any]) -> Any:
        text = text.strip() if settings.get("strip") else text
        text = text.lower() if self.lower_case else text
        length = settings["max_length"]
        return self.tokenizer(text, truncation=True, max_length=length, return_tensors="pt")

    def _prompt_length(self, prompt: str, settings: Mapping[str, Any]) -> int:
        ids = self._fed(prompt, settings)["input_ids"][0].tolist()
        return len(ids) - int(ids[-1] in self.tokenizer.all_special_ids)


@dataclass(frozen=True)
class LibraryRecipe:
    """sentence-transformers' own model of the folder, and what answers that which it is not asked
    here."""

    library: Any
    recipe: TorchRecipe

    def __call__(self, inputs: Any, parameters: Mapping[str, Any]) -> Any:
        """As TorchRecipe."""
        settings = self.recipe.settings
        if not isinstance(inputs, str) or set(parameters) - _ASKS:
            return self.recipe(inputs, parameters)
        text = inputs.strip() if settings.get("strip") else inputs
        size, length_one = settings.get("dimensions"), settings["normalize"]
        how = {"normalize_embeddings": length_one, "show_progress_bar": False}
        return self.library.encode(text, truncate_dim=size, **how, **parameters).tolist()


def _similarity(name: str, one: torch.Tensor, other: torch.Tensor) -> float:
    """As sentence-transformers names them: a distance counts below zero."""
    if name in ("cosine", "dot"):
        unit = torch.nn.functional.normalize if name == "cosine" else torch.Tensor.clone
        return float((unit(one[None]) * unit(other[None])).sum())
    return -float(torch.linalg.vector_norm(one - other, 1 if name == "manhattan" else 2))


def reference(recipe: TorchRecipe, root: Path | None) -> AskPipeline:
    """The library over the folder `root`, if it is one of sentence-transformers and that is
    installed; else, and for a large model, `recipe`."""
    size = sum(weights.nbytes for weights in recipe.model.parameters())
    if root is None or not (root / "modules.json").is_file() or size > _LARGEST:
        return recipe
    try:
        kind = importlib.import_module("sentence_transformers").SentenceTransformer
    except ImportError:
        return recipe
    how = {"device": "cpu", "local_files_only": True, "trust_remote_code": False}
    library = kind(str(root), model_kwargs={"torch_dtype": torch.float32}, **how)
    library.max_seq_length = recipe.settings["max_length"]
    return LibraryRecipe(library.eval(), recipe)
