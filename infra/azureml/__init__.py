"""AzureML: a managed online endpoint, with a new deployment beside the old one until it has proved
itself.

The workspace exists already. Files go to its default datastore, below onnxferry/NAME; model,
environment and code are registered under the endpoint's name with versions that are hashes of their
content; so is the deployment, which takes no traffic until it has answered the golden request.
Traffic moves in one request that also records, as a tag on the endpoint, what served before.
"""

from onnxferry.infra.azureml.cloud import connect

__all__ = ["connect"]
