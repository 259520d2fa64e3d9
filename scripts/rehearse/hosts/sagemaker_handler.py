"""Runs inside the host's workers: the container's own handler, without the several hundred
megabytes of torch.

For a package with its own inference.py the handler asks torch one thing, whether there is a GPU.
The model server wants exactly one class defined in the handler's module, hence the subclass.
"""

from sagemaker_huggingface_inference_toolkit import handler_service

handler_service._is_gpu_available = lambda: False


class SageMakerHandler(handler_service.HuggingFaceHandlerService):  # type: ignore[misc]
    """HuggingFaceHandlerService as it is."""
