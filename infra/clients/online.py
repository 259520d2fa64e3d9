"""An online endpoint's own host over HTTP. No redirect is followed, so that a key goes nowhere
else, and no error shows a key or a payload. (azure-ai-ml's own invoke sends nothing but JSON from a
file.)
"""

from __future__ import annotations

import time

import httpx

from onnxferry.infra.clients.azure import trust
from onnxferry.infra.clients.azureml_facts import Endpoint
from onnxferry.infra.errors import InvokeFailed
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply

DEPLOYMENT = "azureml-model-deployment"
# what the container said, where the front end says 424
_STATUS = "ms-azureml-model-error-statuscode"


def send(
    endpoint: Endpoint, bearer: str, request: Request, timeout: float = 60.0, deployment: str = ""
) -> Reply:
    """POST one request, to `deployment` whatever its traffic if that is given. A refusal is a Reply
    with its status, the container's where the container refused. Raises InvokeFailed where no
    answer comes within `timeout` seconds."""
    headers = {
        "Content-Type": request.content_type,
        "Accept": request.accept,
        "Authorization": f"Bearer {bearer}",
    }
    if deployment:
        headers[DEPLOYMENT] = deployment
    began = time.perf_counter()
    try:
        with httpx.Client(verify=trust(), timeout=timeout) as client:
            answer = client.post(endpoint.url, content=request.body, headers=headers)
    except httpx.TimeoutException as e:
        raise InvokeFailed(
            f"{endpoint.url}: no answer within {timeout:g} s; look with deploy.py logs"
        ) from e
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise InvokeFailed(
            f"{endpoint.url}: no connection ({type(e).__name__}); a workspace in a private network"
            " can only be reached from within it. Look with deploy.py status, then try again"
        ) from e
    seconds = time.perf_counter() - began
    told = answer.headers.get(_STATUS, "")
    status = int(told) if answer.status_code == 424 and told.isdigit() else answer.status_code
    served_by = answer.headers.get(DEPLOYMENT, deployment)
    return Reply(status, answer.content, answer.headers.get("content-type", ""), seconds, served_by)
