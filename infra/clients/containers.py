"""The door of the sagemaker SDK (version 2), which is never needed and asked for one thing only:
where a region has the Hugging Face container."""

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
