"""AzureML: a managed online endpoint of a workspace that exists already.

Files go to its default datastore, below onnxferry/NAME. Model, environment, code and deployment
have names made of hashes of their content. A deployment takes no traffic until it has answered the
golden request; traffic moves in one request, whose tag on the endpoint records what served before.
"""

from __future__ import annotations

from onnxferry.infra.azureml.cloud import connect

__all__ = ["connect"]
