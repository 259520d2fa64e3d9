"""What the functions of an app and of its candidate printed, which Application Insights keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onnxferry.infra.clients.azure_logs import LogEntry, Logs
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.functions.names import Names
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.log_feeds import Entry, Feed, NewEntries

_NOT_KEPT = "what functions print is not kept: there is no Application Insights of ours"
_WATCHED, _MOST = 1000, 10_000  # entries that are asked for


@dataclass(frozen=True)
class PrintedLog:
    """Of both apps, some minutes after it was printed."""

    clients: Clients
    names: Names

    def last(self, lines: int) -> list[str]:
        """The last `lines`; one line why there is nothing."""
        workspace = self._workspace()
        if workspace is None:
            return [f"({_NOT_KEPT})"]
        try:
            found = self._entries(workspace, lines)
        except CloudError as e:
            return [f"(what functions printed cannot be read: {e})"]
        return [line for one in found for line in _shown(one).splitlines()]

    def feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed. Raises NotFound where nothing is kept."""
        workspace = self._workspace()
        if workspace is None:
            raise NotFound(f"app {self.names.app}: {_NOT_KEPT}")
        most = _MOST if since else max(lines, _WATCHED)

        def read() -> Sequence[Entry]:
            found = self._entries(workspace, most, since)
            return [((one.time, one.role, one.text), _shown(one)) for one in found]

        return NewEntries(read, None if since else lines)

    def _workspace(self) -> str | None:
        """What queries name the workspace by; None where none of ours is there."""
        found = self.clients.insights.workspace(self.names.workspace_id)
        return found.customer if found and self.names.marks(found.tags) else None

    def _entries(
        self, workspace: str, most: int, since: datetime | None = None
    ) -> Sequence[LogEntry]:
        apps = (self.names.app, self.names.candidate)
        return Logs(self.clients.session).last(workspace, apps, most, since)


def _shown(entry: LogEntry) -> str:
    return f"{entry.time} {entry.role}: {entry.text}"
