"""How people watch an endpoint: its log, its metrics, its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound
from onnxferry.infra.log_feeds import Feed
from onnxferry.infra.sagemaker import console, container_logs, metrics, state
from onnxferry.system.exits import program


class Watching:
    """Of `endpoint`; `today` tells the time."""

    clients: AwsClients
    endpoint: str
    today: Callable[[], datetime]

    def logs(self, lines: int) -> str:
        """See OnlineEndpoint."""
        self._must_be_there()
        return container_logs.tail(self.clients, self.endpoint, lines)

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed."""
        self._must_be_there()
        return container_logs.feed(self.clients, self.endpoint, lines, since)

    def last_hour(self) -> Mapping[str, Any]:
        """See HasMetrics."""
        found = state.endpoint(self.clients, self.endpoint)
        if found is None or found.state in ("Creating", "Deleting"):
            return {}
        return metrics.last_hour(self.clients, self.endpoint, found.config, self.today())

    def console_url(self) -> str:
        """See HasConsole."""
        place = (self.clients.partition_of_region, self.clients.region)
        return console.endpoint_page(*place, self.endpoint)

    def batch_url(self) -> str:
        """See HasBatchPage."""
        return console.batch_page(self.clients.partition_of_region, self.clients.region)

    def _must_be_there(self) -> None:
        if state.endpoint(self.clients, self.endpoint) is None:
            raise NotFound(
                f"AWS {self.clients.region}, endpoint {self.endpoint}: there is none;"
                f" {program('deploy')} makes it"
            )
