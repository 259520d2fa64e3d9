"""What programs sent to a Log Analytics workspace: the only importer of azure-monitor-query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from azure.monitor.query import LogsQueryClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import translated

_ENDPOINTS = {  # by the cloud's storage suffix
    "core.windows.net": "https://api.loganalytics.io",
    "core.usgovcloudapi.net": "https://api.loganalytics.us",
    "core.chinacloudapi.cn": "https://api.loganalytics.azure.cn",
}
_SINCE = timedelta(days=7)
# one without rows yet has no table: isfuzzy leaves it out
_QUERY = (
    "union isfuzzy=true AppTraces, AppExceptions"
    " | where AppRoleName in~ ({roles})"
    " | top {lines} by TimeGenerated desc"
    " | project TimeGenerated, AppRoleName, Message, ExceptionType, OuterMessage, InnermostMessage"
)


@dataclass(frozen=True)
class LogEntry:
    """What `role`, an app, said: `text` may have several lines, as a crash's traceback has."""

    time: str
    role: str
    text: str


class Logs:
    """The logs in a workspace, by its customer id."""

    def __init__(self, session: AzureSession) -> None:
        endpoint = _ENDPOINTS.get(session.where.storage_suffix, session.where.resource_manager)
        self._client = LogsQueryClient(session.credential, endpoint=endpoint, **session.retries)

    def last(
        self, workspace: str, roles: Collection[str], entries: int, since: datetime | None = None
    ) -> list[LogEntry]:
        """The last `entries` of these apps, `since` then or within seven days, the latest at the
        end. It takes some minutes until what is said is found there."""
        names = ", ".join(f"'{role}'" for role in sorted(roles))  # letters, digits, hyphens
        query = _QUERY.format(roles=names, lines=entries)
        span = (since, datetime.now(timezone.utc)) if since else _SINCE
        with translated("logs in Log Analytics"):
            found = self._client.query_workspace(workspace, query, timespan=span)
        tables = getattr(found, "tables", None) or getattr(found, "partial_data", None) or ()
        rows = [dict(zip(t.columns, list(row), strict=True)) for t in tables for row in t.rows]
        return [_entry(row) for row in reversed(rows)]


def _entry(row: dict[str, object]) -> LogEntry:
    texts = (row.get("OuterMessage"), row.get("InnermostMessage"))
    said = dict.fromkeys(str(text) for text in texts if text)
    crash = ": ".join(filter(None, [str(row.get("ExceptionType") or ""), "\n".join(said)]))
    return LogEntry(
        str(row["TimeGenerated"]), str(row["AppRoleName"]), str(row.get("Message") or crash)
    )
