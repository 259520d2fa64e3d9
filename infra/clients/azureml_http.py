"""An online endpoint's own host over HTTP, as azure-ai-ml's invoke only sends JSON files."""

from __future__ import annotations

from onnxferry.infra.clients.azure_http import post, reply_of
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

_DEPLOYMENT = "azureml-model-deployment"
_STATUS = "ms-azureml-model-error-statuscode"  # the container's, where the front end says 424


def send(
    url: str, bearer: str, request: Request, timeout: float = 60.0, deployment: str = ""
) -> Reply:
    """POST one request, to `deployment` if that is given. A refusal is a Reply with its status,
    if need be the container's. Raises InvokeFailed after `timeout` seconds."""
    headers = {"Authorization": f"Bearer {bearer}"}
    if deployment:
        headers[_DEPLOYMENT] = deployment
    answer = post(url, request, headers, timeout)
    told = answer.headers.get(_STATUS, "")
    status = int(told) if answer.status_code == 424 and told.isdigit() else answer.status_code
    return reply_of(answer, status, answer.headers.get(_DEPLOYMENT, deployment))
