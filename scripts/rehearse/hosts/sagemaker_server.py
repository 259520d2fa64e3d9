"""Runs inside the host's environment: what the Hugging Face container runs as `serve`.

So that several run side by side, the server's configuration file is in TMPDIR, and its process is
found by its pid file.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from sagemaker_huggingface_inference_toolkit import mms_model_server
from sagemaker_inference import model_server

_TEMP = Path(tempfile.gettempdir())


def find_server(limit: float) -> psutil.Process:
    """The Java process that was started. Raises RuntimeError after `limit` seconds without one."""
    pid_file, until = _TEMP / ".model_server.pid", time.monotonic() + limit
    while time.monotonic() < until:
        if pid_file.is_file() and (text := pid_file.read_text().strip()):
            return psutil.Process(int(text))
        time.sleep(0.1)
    raise RuntimeError("multi-model-server did not start; its messages are above")


if __name__ == "__main__":
    model_server.MMS_CONFIG_FILE = mms_model_server.MMS_CONFIG_FILE = str(_TEMP / "mms.properties")
    mms_model_server._retry_retrieve_mms_server_process = lambda timeout: find_server(30.0)
    mms_model_server.start_model_server(handler_service="sagemaker_handler")
