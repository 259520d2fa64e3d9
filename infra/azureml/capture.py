"""The data collector: Azure Machine Learning puts a part of the requests and the answers into the
workspace's blobs, below modelDataCollector/ENDPOINT/DEPLOYMENT/COLLECTION/YYYY/MM/DD/HH/. They are
the user's: nothing here deletes them, nor the data assets by which the workspace shows them.

The collections "request" and "response" need no code in the scoring script. azure-ai-ml registers a
data asset for each before it makes a deployment: ENDPOINT-DEPLOYMENT-COLLECTION, version 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.target_tables.azureml import AzureML

DATASTORE = "workspaceblobstore"  # where azure-ai-ml has it put, whatever the default one is
REQUEST, RESPONSE = "request", "response"
_FOLDER = "modelDataCollector"


def folder(names: Names, deployment: str, collection: str) -> str:
    """Where the datastore keeps what was captured of a deployment, with a slash at its end."""
    return f"{_FOLDER}/{names.endpoint}/{deployment}/{collection}/"


def collected(settings: AzureML) -> dict[str, Any]:
    """What deployment.yml says of it; nothing where nothing is captured."""
    given = settings.capture
    if given is None:
        return {}
    kept = (RESPONSE,) if given.redact else (REQUEST, RESPONSE)
    collections = {name: {"enabled": "true"} for name in kept}
    how = {"sampling_rate": given.percent / 100, "rolling_rate": "hour"}
    return {"data_collector": {"collections": collections, **how}}


def notes(names: Names, settings: AzureML) -> Iterator[str]:
    """What is said of it in a plan."""
    given = settings.capture
    if given is None:
        return
    where, part = _place(names), f"{given.percent} % of the requests"
    advice = "azureml.capture.redact = true keeps the answers alone"
    if given.redact:
        yield f"The answers to {part}, without the requests, are kept as they are in {where}."
    else:
        yield f"{part} and their answers are kept as they are in {where} ({advice})."
    if settings.identity:
        yield (
            f"The identity {settings.identity} needs the role Storage Blob Data Contributor on the"
            " storage account of that datastore: what is captured is put there with it."
        )


def kept(state: CurrentState) -> tuple[str, ...]:
    """What is said of captured data when the endpoint is deleted."""
    if not any(one.collected for one in state.ours.values()):
        return ()
    assets = f"{state.names.endpoint}-DEPLOYMENT-{REQUEST} and -{RESPONSE}"
    return (
        f"What was captured in {_place(state.names)} stays, and so do the data assets that show it"
        f" ({assets}): it is yours.",
    )


def _place(names: Names) -> str:
    return f"datastore {DATASTORE}, {_FOLDER}/{names.endpoint}/"
