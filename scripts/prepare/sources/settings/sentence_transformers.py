"""What a sentence-transformers folder says besides its model: the modules that follow it, the
length and case of texts, and prompts. The layouts of all versions up to 6 are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_json, read_object

TASKS = ("feature-extraction", "sentence-similarity")  # that embed
_STRIPS_UNTIL = (5, 4)  # the version that stopped stripping white space off texts
_OLDER_POOLINGS = {  # in the order in which several are joined
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_CONFIGS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_HARMLESS = {  # keys of the Transformer module that change no answer, with such values
    "transformer_task": ("feature-extraction", None),
    "module_output_name": ("token_embeddings", None),
    "unpad_inputs": (True, False, None),
}
_MODEL_KEYS = {"torch_dtype", "dtype", "attn_implementation", "trust_remote_code"}
_LAYERS = ("Dense", "LayerNorm", "Normalize")
_NO_OPERATION = "Dropout"


@dataclass(frozen=True)
class Layer:
    """A module after the pooling: one of Dense, LayerNorm, Normalize; its configuration, and the
    folder with its weights."""

    kind: str
    config: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class SentenceModel:
    """`model`: the folder of the transformers model. `settings`: of feature-extraction. `layers`:
    what the graph must do after `poolings`; without any, the task pools by itself. `lower_case`:
    whether texts are lowercased before they are tokenized. `similarity`: how vectors are compared.
    """

    model: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    poolings: tuple[str, ...] = ()
    include_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    lower_case: bool = False
    similarity: str = "cosine"

    def settings_of(self, task: str) -> Mapping[str, Any] | None:
        """Those of `task`; None for another folder."""
        own = {"similarity": self.similarity} if task == "sentence-similarity" else {}
        return {**self.settings, **own} if self.settings else None


def model_folder(folder: Path) -> Path:
    """The folder of the transformers model: older layouts have it below."""
    modules = _modules(folder)
    return folder / modules[0][1] if modules else folder


def read(folder: Path) -> SentenceModel:
    """The folder's modules; of another folder, the folder alone. Raises UsageError for what would
    change the answers and cannot be done."""
    modules = _modules(folder)
    if not modules:
        return SentenceModel(folder)
    model = folder / modules[0][1]
    text, rest = _text_module(model), [m for m in modules[1:] if m[0] != _NO_OPERATION]
    library = _read(folder / "config_sentence_transformers.json")
    settings = {**_texts(text), **_library(library, folder)}
    lower, alike = bool(text.get("do_lower_case")), library.get("similarity_fn_name") or "cosine"
    found = SentenceModel(model, settings, lower_case=lower, similarity=alike)
    return _with_modules(found, folder, rest) if rest else found


def _with_modules(
    found: SentenceModel, folder: Path, rest: Sequence[tuple[str, str]]
) -> SentenceModel:
    """With the pooling and what follows it."""
    settings = dict(found.settings)
    poolings, include = _pooling(folder / rest[0][1] / "config.json")
    layers = [_layer(kind, folder / path) for kind, path in rest[1:]]
    settings["normalize"] = bool(layers) and layers[-1].kind == "Normalize"
    if settings["normalize"]:
        layers.pop()
    settings["pooling"] = "sentence_embedding" if layers else _one_or_list(poolings)
    if not include:
        settings["include_prompt"] = False
    found = replace(found, settings=settings, poolings=poolings)
    return replace(found, include_prompt=include, layers=tuple(layers))


def lowercased(tokenizer_json: str) -> str:
    """The tokenizer with a step that lowercases, before all others, unless it has one."""
    data = json.loads(tokenizer_json)
    normalizer = data.get("normalizer")
    steps = [] if normalizer is None else [normalizer]
    if normalizer and normalizer["type"] == "Sequence":
        steps = normalizer["normalizers"]
    if not any(step["type"] == "Lowercase" for step in steps):
        data["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}
    return json.dumps(data, ensure_ascii=False)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(kind, path) of each module, in order."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    found = [_module(entry, path) for entry in _listed(path)]
    kinds = [kind for kind, _ in found]
    known = ("Transformer", "Pooling", _NO_OPERATION, *_LAYERS)
    if unknown := sorted(set(kinds) - set(known)):
        raise UsageError(f"{path}: module(s) {', '.join(unknown)} are not supported")
    after = [kind for kind in kinds[1:] if kind != _NO_OPERATION]
    if kinds[:1] != ["Transformer"] or after[:1] not in ([], ["Pooling"]) or "Pooling" in after[1:]:
        order = "a Transformer, a Pooling, then " + ", ".join(_LAYERS)
        raise UsageError(f"{path}: the modules are {', '.join(kinds)}; supported: {order}")
    return found


def _listed(path: Path) -> Sequence[Any]:
    data = read_json(path)
    if not isinstance(data, list) or not data:
        raise UsageError(f"{path}: expected a list of modules")
    return data


def _module(entry: Any, path: Path) -> tuple[str, str]:
    try:
        full, where = str(entry["type"]), str(entry["path"])
    except (KeyError, TypeError) as e:
        raise UsageError(f"{path}: expected a type and a path of each module, got {entry}") from e
    if not full.startswith("sentence_transformers."):
        own = "is code of the model's own, which is never run"
        raise UsageError(f"{path}: module {full} {own}")
    if not (path.parent / where).resolve().is_relative_to(path.parent.resolve()):
        raise UsageError(f"{path}: module path {where!r} leads out of the folder")
    return full.rpartition(".")[2], where


def _text_module(folder: Path) -> Mapping[str, Any]:
    """The configuration of the Transformer module. Raises UsageError for a key that it cannot
    follow."""
    paths = (folder / f"sentence_{name}_config.json" for name in _CONFIGS)
    path, found = next(((p, c) for p in paths if (c := _read(p))), (folder, {}))
    for key, value in found.items():
        if key in ("max_seq_length", "do_lower_case") or value in (None, {}, []):
            continue
        if key == "modality_config" and set(value) == {"text"}:
            continue
        if key.endswith(("_args", "_kwargs")) and set(value) <= _MODEL_KEYS:
            continue
        if value not in _HARMLESS.get(key, ()):
            raise UsageError(f"{path}: {key} {json.dumps(value)[:100]} is not supported")
    return found


def _texts(config: Mapping[str, Any]) -> dict[str, Any]:
    length = config.get("max_seq_length")
    return {"max_length": length} if isinstance(length, int) and length > 0 else {}


def _library(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Prompts, dimensions, and what depends on the version that saved the folder."""
    prompts = {"query": "", "document": "", **(config.get("prompts") or {})}
    found: dict[str, Any] = {"prompts": prompts, "strip": _version(config) < _STRIPS_UNTIL}
    if (name := config.get("default_prompt_name")) is not None:
        if name not in prompts:
            where = folder / "config_sentence_transformers.json"
            raise UsageError(f"{where}: default_prompt_name is {name!r}, but no such prompt")
        found["default_prompt_name"] = name
    if config.get("truncate_dim"):
        found["dimensions"] = config["truncate_dim"]
    return found


def _version(config: Mapping[str, Any]) -> tuple[int, ...]:
    """(0,) where it is not told: versions before 2."""
    saved = str((config.get("__version__") or {}).get("sentence_transformers", "0"))
    return tuple(int(part) for part in saved.split(".")[:2] if part.isdigit())


def _pooling(path: Path) -> tuple[tuple[str, ...], bool]:
    """The names of the poolings, and whether they read the prompt."""
    config = _read(path)
    modes = config.get("pooling_mode") or [
        m for key, m in _OLDER_POOLINGS.items() if config.get(key)
    ]
    names = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    if unknown := [name for name in names if name not in _OLDER_POOLINGS.values()]:
        known = ", ".join(_OLDER_POOLINGS.values())
        raise UsageError(f"{path}: pooling {unknown[0]} is not supported; known: {known}")
    return tuple(names), bool(config.get("include_prompt", True))


def _layer(kind: str, folder: Path) -> Layer:
    config = _read(folder / "config.json")
    for key in ("module_input_name", "module_output_name"):
        if (value := config.get(key)) not in (None, "sentence_embedding"):
            raise UsageError(f"{folder / 'config.json'}: {key} {value} is not supported")
    return Layer(kind, config, folder)


def _one_or_list(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _read(path: Path) -> dict[str, Any]:
    """The object in a file, {} without the file."""
    return read_object(path) if path.is_file() else {}
