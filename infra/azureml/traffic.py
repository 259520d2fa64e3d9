"""What the version that serves and its shadow answered to the same requests, out of what both
captured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from onnxferry.infra.azureml import capture
from onnxferry.infra.azureml.captured import CapturedData
from onnxferry.infra.azureml.names import DEPLOYED
from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.errors import NotFound
from onnxferry.infra.shadow_traffic import (
    CapturedAnswer,
    ShadowTraffic,
    VersionTraffic,
    first_asked,
)
from onnxferry.system.exits import program


def shadow_traffic(
    clients: Clients, state: CurrentState, since: datetime | None, limit: int
) -> ShadowTraffic:
    """See infra.cloud.Shadowed."""
    names, shadow = state.names, _shadow(state)
    made = datetime.fromisoformat(state.ours[shadow].tags[DEPLOYED])
    since = max(made, since) if since else made
    _, blobs = clients.workspace.opened(capture.DATASTORE)
    copies = CapturedData(blobs, names, shadow, since).newest(limit)
    live = CapturedData(blobs, names, state.serving, first_asked(copies, since))
    originals = tuple(live.wanted(copies)) if copies else ()

    def version(name: str, answers: tuple[CapturedAnswer, ...]) -> VersionTraffic:
        return VersionTraffic(name, state.version(name), answers)

    return ShadowTraffic(
        names.where,
        since.isoformat(timespec="seconds"),
        state.mirrored[shadow],
        version(state.serving, originals),
        version(shadow, copies),
        tuple(_notes(state, copies, limit)),
    )


def _shadow(state: CurrentState) -> str:
    """The deployment that gets the copies. Raises NotFound without one."""
    if state.shadow and state.serving:
        return state.shadow
    how = f"{program('deploy')} --set rollout.mirror=20, with a table [azureml.capture]"
    raise NotFound(
        f"{state.names.where}: no version gets a copy of the requests there, so there is nothing to"
        f" compare; make one: {how}"
    )


def _notes(state: CurrentState, copies: tuple[CapturedAnswer, ...], limit: int) -> Iterator[str]:
    if len(copies) == limit:
        yield f"Only the newest {limit} answers of the shadow were read (--limit)."
    if copies and not any(one.request for one in copies):
        yield (
            "The requests were not captured (azureml.capture.redact): only those are paired that"
            " have the same id in both."
        )
