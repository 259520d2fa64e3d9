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
from onnxferry.system.errors import UsageError
from onnxferry.system.files import replacing

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
    known = {
        version["version"]: version
        for version in endpoints.get(status.name, {}).get("versions", [])
    }
    if bundle:
        known[bundle.version] = _facts(bundle)
    entry = {
        "name": status.name,
        "target": status.target,
        "url": status.url,
        "state": status.state,
        "version": status.version,
        "previous": status.previous,
        "time": now().isoformat(timespec="seconds"),
        "versions": [
            known[version] for version in (status.version, status.previous) if version in known
        ],
    }
    endpoints[status.name] = entry
    if status.state == "absent":
        del endpoints[status.name]
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as fresh:
        fresh.write_text(json.dumps({"endpoints": endpoints}, indent=2) + "\n", encoding="utf-8")
    return entry


def _facts(bundle: Bundle) -> dict[str, Any]:
    package = bundle.package
    return {
        "version": bundle.version,
        "sha256": package.sha256,
        "size": package.size,
        "model": package.model,
        "python": package.python,
    }


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
