"""The Hugging Face container of a region, as the sagemaker SDK (version 2 or 3, optional) knows it:
its only importer."""

from __future__ import annotations

from typing import Any


def container(region: str, transformers: str, python: str, framework: str) -> str:
    """The URI of the inference container for CPUs; "" without the SDK or in a region that it does
    not know."""
    versions = {"version": transformers, "py_version": python}
    versions["base_framework_version"] = framework
    what = {"image_scope": "inference", "instance_type": "ml.m5.large"}
    try:
        return str(_image_uris().retrieve("huggingface", region, **versions, **what))
    except (ImportError, ValueError):
        return ""


def _image_uris() -> Any:
    """Raises ImportError without the SDK."""
    try:
        from sagemaker.core import image_uris
    except ImportError:  # of version 2
        from sagemaker import image_uris
    return image_uris
