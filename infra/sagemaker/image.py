"""The Hugging Face inference container for CPUs: its tag, and the account of each region's registry
(sagemaker SDK 2.257.7, image_uri_config/huggingface.json). Where the SDK is installed, it is asked
about other regions."""

from __future__ import annotations

from onnxferry.infra.clients.containers import container
from onnxferry.infra.target_tables import SageMaker
from onnxferry.system.errors import UsageError

_PYTHON = "3.12"
_TAG = "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04"
_MOST = """ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1
    eu-central-1 eu-north-1 eu-west-1 eu-west-2 eu-west-3 sa-east-1 us-east-1 us-east-2 us-west-1
    us-west-2"""
_ACCOUNTS = {
    **dict.fromkeys(_MOST.split(), "763104351884"),
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-northeast-3": "364406365360",
    "ap-south-2": "772153158452",
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-2": "380420809688",
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
}


def image(config: SageMaker, region: str, python: str) -> str:
    """The image's URI. Raises UsageError where none is known for the region or for `python`."""
    if config.image:
        return config.image
    if python != _PYTHON:
        raise UsageError(
            f"the package is for Python {python}, and the Hugging Face container has {_PYTHON}:"
            " leave --python out, or set sagemaker.image"
        )
    if region in _ACCOUNTS:
        suffix = "com.cn" if region.startswith("cn-") else "com"
        registry = f"{_ACCOUNTS[region]}.dkr.ecr.{region}.amazonaws.{suffix}"
        return f"{registry}/huggingface-pytorch-inference:{_TAG}"
    if found := container(region, "4.51.3", "py312", "pytorch2.6.0"):
        return found
    raise UsageError(
        f"no Hugging Face container is known for region {region}; set sagemaker.image to one from"
        " https://aws.github.io/deep-learning-containers, or install the SDK, which may know one:"
        " pip install 'onnxferry[sagemaker]'"
    )
