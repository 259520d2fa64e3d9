"""The workspace that all endpoints share, with what it stands on, as a template. It is theirs who
deploy it: deploying, rolling back and deleting endpoints never change it.
"""

from __future__ import annotations

from onnxferry.infra.azureml.workspace.cloud import connect

__all__ = ["connect"]
