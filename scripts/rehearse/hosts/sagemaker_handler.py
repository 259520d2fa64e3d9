"""Runs inside the host's workers: the container's own handler, without torch, of which it asks one
thing, whether there is a GPU. The model server wants exactly one class in this module.
"""

from __future__ import annotations

from sagemaker_huggingface_inference_toolkit import handler_service

handler_service._is_gpu_available = lambda: False


class SageMakerHandler(handler_service.HuggingFaceHandlerService):  # type: ignore[misc]
    """HuggingFaceHandlerService as it is."""
