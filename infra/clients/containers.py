"""The Hugging Face container of a region, as the sagemaker SDK (version 2, optional) knows it: its
only importer."""

from __future__ import annotations


def container(region: str, transformers: str, python: str, framework: str) -> str:
    """The URI of the inference container for CPUs; "" without the SDK or in a region that it does
    not know."""
    try:
        from sagemaker import image_uris  # type: ignore[import-not-found,unused-ignore]

        versions = {"version": transformers, "py_version": python}
        versions["base_framework_version"] = framework
        what = {"image_scope": "inference", "instance_type": "ml.m5.large"}
        return str(image_uris.retrieve("huggingface", region, **versions, **what))
    except (ImportError, ValueError):
        return ""
