"""SageMaker's Hugging Face container: multi-model-server (Java) with the Hugging Face inference
toolkit as its handler. The environment holds what the container has, and no onnxruntime.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.archives import unpack_tar
from onnxferry.scripts.rehearse.runtime import HOSTS, Install, Runtime, UnpackedPackage
from onnxferry.system.errors import RehearsalError

# With --no-deps: the toolkit asks for audio libraries too, and the model server for a packer.
_STACK = """
    sagemaker-huggingface-inference-toolkit sagemaker-inference multi-model-server boto3 botocore
    future jmespath numpy pillow psutil python-dateutil regex retrying s3transfer safetensors scipy
    setuptools six transformers
"""


def check_java(environ: Mapping[str, str] = os.environ) -> None:
    """Raise RehearsalError where no Java runs: macOS has a `java` that only says where to get
    one."""
    home = environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    try:
        subprocess.run([java, "-version"], env=environ, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise RehearsalError(
            f"SageMaker's model server needs Java (11 or newer), and {java!r} does not run here."
            " Install one (on Debian: apt install default-jre-headless), or rehearse another target"
        ) from e


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    model = root / "ml" / "model"
    unpack_tar(package.path, model)
    return UnpackedPackage(root, root / "ml", model)


def _installs(unpacked: UnpackedPackage, python: str) -> tuple[Install, ...]:
    names = (*pins.with_closure(["tokenizers"]), *_STACK.split())
    return (Install(tuple(pins.select(names, python)), ("--no-deps",)),)


def _environment(unpacked: UnpackedPackage, port: int) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    return {
        "SAGEMAKER_BASE_DIR": str(unpacked.app),
        "SAGEMAKER_PROGRAM": "inference.py",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "MMS_INFERENCE_ADDRESS": address,
        "MMS_MANAGEMENT_ADDRESS": address,
        "PYTHONPATH": str(HOSTS),  # where the server's workers find the handler
    }


RUNTIME = Runtime(
    title="SageMaker's model server",
    health="/ping",
    score="/invocations",
    unpack=_unpack,
    installs=_installs,
    command=lambda unpacked, port: (HOSTS / "sagemaker_server.py",),
    environment=_environment,
    check=check_java,
    grace=0.0,  # it starts a program to end the server that has got the signal itself
)
