"""How SOURCE names a model of the hub. A folder of that name is asked for first, by Options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from onnxferry.system.errors import UsageError

REVISION = "main"
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_REVISION = r"[\w./-]+"
_PLAIN = re.compile(rf"(?P<id>{_PART}/{_PART})(?:@(?P<revision>{_REVISION}))?")
_MARKED = re.compile(
    rf"(?:hf://|https?://(?:www\.)?(?:huggingface\.co|hf\.co)/)(?P<id>{_PART}(?:/{_PART})?)"
    rf"(?:(?:@|/tree/)(?P<revision>{_REVISION}))?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubId:
    """A model of the hub, and the branch, tag or commit that was asked for."""

    name: str
    revision: str = REVISION

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, whose files never change."""
        return bool(_COMMIT.fullmatch(self.revision))

    def __str__(self) -> str:
        return self.name if self.revision == REVISION else f"{self.name}@{self.revision}"


def named(source: str) -> HubId:
    """As `parse`. Raises UsageError in the place of None."""
    found = parse(source)
    if not found:
        raise UsageError(f"{source}: not a model of the hub, as org/name or org/name@revision")
    return found


def parse(source: str) -> HubId | None:
    """The model that `org/name[@revision]` names, or, marked as the hub's by hf:// or its address,
    a name without an organisation too. None for another form, a file's, and a path below a folder
    that is here."""
    match = _MARKED.fullmatch(source)
    if not match:
        match = _PLAIN.fullmatch(source)
        local = match and Path(match["id"]).parent.is_dir()
        if not match or local or Path(match["id"]).suffix in (".onnx", ".py"):
            return None
    return HubId(match["id"], match["revision"] or REVISION)
