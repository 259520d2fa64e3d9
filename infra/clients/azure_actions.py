"""Actions on a resource by its id (POST .../ACTION) that take a while, over azure-core: for those
that a service's SDK does not send as they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import policies
from azure.core.polling import LROPoller
from azure.core.rest import HttpRequest
from azure.mgmt.core import ARMPipelineClient
from azure.mgmt.core.exceptions import ARMErrorFormat
from azure.mgmt.core.polling.arm_polling import ARMPolling

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import AGAIN


class ArmActions:
    """The actions of one api-version, as whoever is signed in."""

    def __init__(self, session: AzureSession, api_version: str) -> None:
        retry = policies.RetryPolicy(retry_on_methods=AGAIN, **session.retries)
        # the poller reads the id of each request
        known = [policies.RequestIdPolicy(), policies.UserAgentPolicy("onnxferry")]
        used = [*known, retry, session.sign_in_policy()]
        base, options = session.where.resource_manager, session.connection
        self._client = ARMPipelineClient(base, policies=used, **options)
        self._start, self._query = base, {"api-version": api_version}
        self._interval = session.interval

    def begin(self, id_: str, action: str, body: Mapping[str, Any]) -> Any:
        """Begin the action; its poller. Errors are the SDK's."""
        url = f"{self._start}{id_}/{action}"
        request = HttpRequest("POST", url, params=self._query, json=dict(body))
        answer: Any = self._client.send_request(request, _return_pipeline_response=True)
        if answer.http_response.status_code >= 400:
            raise HttpResponseError(response=answer.http_response, error_format=ARMErrorFormat)
        polling = ARMPolling(self._interval)
        return LROPoller(self._client, answer, lambda response: None, polling)
