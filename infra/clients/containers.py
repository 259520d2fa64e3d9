"""Where a region has the Hugging Face container, as the sagemaker SDK (version 2) knows it. The SDK
is optional, and imported here only."""

from __future__ import annotations


def container(region: str, transformers: str, python: str, framework: str) -> str:
    """The URI of the inference container for CPUs; "" where the SDK is not installed or does not
    know the region."""
    try:
        from sagemaker import image_uris  # type: ignore[import-not-found,unused-ignore]

        return str(
            image_uris.retrieve(
                "huggingface",
                region,
                version=transformers,
                py_version=python,
                image_scope="inference",
                base_framework_version=framework,
                instance_type="ml.m5.large",
            )
        )
    except (ImportError, ValueError):
        return ""
