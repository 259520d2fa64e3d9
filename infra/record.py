"""build/TARGET/deployed.json: what this machine put live, with hashes and times. The cloud itself
is what counts: the record is for people and pipelines, and is never read back to decide
anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from onnxferry.infra.cloud import Bundle, EndpointStatus
from onnxferry.scripts.package.archive import replacing
from onnxferry.system.errors import UsageError

FILE = "deployed.json"


def _now() -> datetime:
    return datetime.now(timezone.utc)


def write(
    out: Path,
    status: EndpointStatus,
    bundle: Bundle | None = None,
    now: Callable[[], datetime] = _now,
) -> dict[str, Any]:
    """Record that `status` is live, and return the entry. An endpoint that is absent loses its
    entry.

    `bundle` is what was deployed; without one (after a roll-back) the facts of that version are
    taken over from the record, where they are known.
    """
    file = out / status.target / FILE
    endpoints = _read(file)
    earlier = endpoints.pop(status.name, {}).get("versions", [])
    known = {version["version"]: version for version in earlier}
    if bundle:
        known[bundle.version] = _facts(bundle)
    live = (status.version, status.previous)
    entry = {
        "name": status.name,
        "target": status.target,
        "url": status.url,
        "state": status.state,
        "version": status.version,
        "previous": status.previous,
        "time": now().isoformat(timespec="seconds"),
        "versions": [known[version] for version in live if version in known],
    }
    if status.state != "absent":
        endpoints[status.name] = entry
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as fresh:
        fresh.write_text(json.dumps({"endpoints": endpoints}, indent=2) + "\n", encoding="utf-8")
    return entry


def _facts(bundle: Bundle) -> dict[str, Any]:
    keys = ("sha256", "size", "model", "python")
    return {"version": bundle.version, **{key: getattr(bundle.package, key) for key in keys}}


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["endpoints"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(
            f"{file}: not a record of deployments ({e!r}); move it away, the cloud's state is in"
            " the cloud"
        ) from e
    return dict(found)
