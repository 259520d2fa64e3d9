"""What a configuration says that cannot be taken, known without transformers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

# model_type -> what its models need that is no text, picture or array of a request
_NEEDS = {
    "longformer": "global_attention_mask",
    "led": "global_attention_mask",
    "layoutlmv2": "the words' boxes and the page's picture",
    "layoutlmv3": "the words' boxes and the page's picture",
    "tapas": "a table's cells",
    "reformer": "inputs whose length is a multiple of its chunks",
    "wav2vec2": "sound",
    "hubert": "sound",
    "whisper": "sound",
}
_OTHER = {  # model_type -> what else keeps it out
    "fnet": "its Fourier transform cannot be exported",
    "funnel": "it pools texts in a way that is exported for one length alone",
}
_SINCE = {"rope_parameters": 5}  # key -> the major version that reads it


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Why models of this configuration's architecture are not taken."""
    kind = str(config.get("model_type"))
    why = f"it needs {_NEEDS[kind]}" if kind in _NEEDS else _OTHER.get(kind)
    return f"this architecture is not supported: {why}" if why else None


def newer(config: Mapping[str, Any]) -> str | None:
    """Why a model that a newer major version of transformers saved is not taken: an older one
    passes over what it does not know, such as rope_parameters, and answers wrongly. A configuration
    that names no version, as some tools write it, is told by such a key."""
    saved, installed = str(config.get("transformers_version") or ""), _installed("transformers")
    first = max(_major(saved), *(since for key, since in _SINCE.items() if key in config), 0)
    if not installed or first <= _major(installed):
        return None
    by = saved if _major(saved) == first else f"{first} or a newer one"
    saved_by = f"it was saved by transformers {by}; {installed} is installed"
    return f"{saved_by}, and may read it wrongly: pip install 'transformers>={first},<{first + 1}'"


def _major(version: str) -> int:
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
