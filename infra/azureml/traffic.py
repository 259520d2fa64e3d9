"""What the version that serves and its shadow answered to the same requests, out of what both
captured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from onnxferry.infra.azureml import capture, metrics
from onnxferry.infra.azureml.captured import CapturedData
from onnxferry.infra.azureml.names import DEPLOYED
from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.clients.azure_monitor import Span
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.infra.shadow_traffic import (
    CapturedAnswer,
    Period,
    ShadowTraffic,
    VersionTraffic,
    first_asked,
)
from onnxferry.system.exits import program


def shadow_traffic(clients: Clients, state: CurrentState, period: Period) -> ShadowTraffic:
    """See infra.cloud.Shadowed."""
    names, shadow = state.names, _shadow(state)
    made = datetime.fromisoformat(state.ours[shadow].tags[DEPLOYED])
    since, limit = max(made, period.since) if period.since else made, period.limit
    _, blobs = clients.workspace.opened(capture.DATASTORE)
    copies = CapturedData(blobs, names, shadow, since).newest(limit)
    live = CapturedData(blobs, names, state.serving, first_asked(copies, since))
    originals = tuple(live.wanted(copies)) if copies else ()

    measured, unknown = _measured(clients, state, (since, period.until))

    def version(name: str, answers: tuple[CapturedAnswer, ...]) -> VersionTraffic:
        return VersionTraffic(name, state.version(name), answers, measured.get(name))

    return ShadowTraffic(
        names.where,
        since.isoformat(timespec="seconds"),
        state.mirrored[shadow],
        version(state.serving, originals),
        version(shadow, copies),
        (*_notes(copies, limit), *unknown),
    )


def _measured(
    clients: Clients, state: CurrentState, span: Span
) -> tuple[Mapping[str, RequestMetrics], tuple[str, ...]]:
    """What Azure Monitor counted of both deployments, in the last day at most; why it does not
    tell."""
    since, until = span
    asked = (max(since, until - timedelta(days=1)), until + timedelta(minutes=1))
    names, monitor = (state.serving, state.shadow), clients.monitor
    try:
        found = {n: metrics.of_deployment(monitor, state.names, n, asked) for n in names}
    except CloudError as e:
        missing = f"{e.permission} is missing" if isinstance(e, NotAllowed) and e.permission else e
        return {}, (f"Requests and latency are not known: {missing}",)
    return found, ()


def _shadow(state: CurrentState) -> str:
    """The deployment that gets the copies. Raises NotFound without one."""
    if state.shadow and state.serving:
        return state.shadow
    how = f"{program('deploy')} --set rollout.mirror=20, with a table [azureml.capture]"
    raise NotFound(
        f"{state.names.where}: no version gets a copy of the requests there, so there is nothing to"
        f" compare; make one: {how}"
    )


def _notes(copies: tuple[CapturedAnswer, ...], limit: int) -> Iterator[str]:
    if len(copies) == limit:
        yield f"Only the newest {limit} answers of the shadow were read (--limit)."
    if copies and not any(one.request for one in copies):
        yield (
            "The requests were not captured (azureml.capture.redact): only those are paired that"
            " have the same id in both."
        )
