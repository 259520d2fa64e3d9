"""build/TARGET/deployed.json: what this machine put live, with hashes and times. It is for people
and pipelines; what is decided is decided by the cloud's state."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from onnxferry.infra.cloud import Bundle, EndpointStatus
from onnxferry.system.errors import UsageError
from onnxferry.system.files import replacing


def write(
    out: Path,
    status: EndpointStatus,
    bundle: Bundle | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> dict[str, Any]:
    """Record that `status` is live, and return the entry; an absent endpoint loses its own.

    `bundle` is what was deployed; without one (after a roll-back) the record's facts of that
    version are kept.
    """
    file = out / status.target / "deployed.json"
    endpoints = _read(file)
    earlier = endpoints.pop(status.name, {}).get("versions", [])
    known = {version["version"]: version for version in earlier}
    if bundle:
        known[bundle.version] = _facts(bundle)
    live = (status.version, status.previous)
    keys = ("name", "target", "url", "state", "version", "previous")
    entry = {
        **{key: getattr(status, key) for key in keys},
        "time": now().isoformat(timespec="seconds"),
        "versions": [known[version] for version in dict.fromkeys(live) if version in known],
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
        raise UsageError(f"{file}: no record of deployments ({e!r}); move it away") from e
    return dict(found)
