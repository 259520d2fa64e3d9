"""The tables of docs/deploy/permissions.md: each permission, and which commands need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from onnxferry.infra.policies import BUILT_IN, OPTIONAL, ROLES
from onnxferry.targets import clouds
from tests.infra.policies.documents import FOLDER
from tests.infra.policies.flows import FLOWS
from tests.infra.policies.recording import Use

PAGE = Path(__file__).parents[3] / "docs" / "deploy" / "permissions.md"
MARK = "<!-- The rest is made from the calls of the flows: python -m tests.infra.policies -->\n"
_ORDER = tuple(dict.fromkeys(command.name for command in FLOWS))


def page(used: Mapping[str, Iterable[Use]]) -> str:
    """The text that the page should have."""
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    told = [target for target in clouds() if any(FOLDER.glob(f"{target}*.json"))]
    return f"{head}{MARK}\n" + "\n".join(_section(target, used) for target in told)


def _section(target: str, used: Mapping[str, Iterable[Use]]) -> str:
    uses = [use for name, found in used.items() if name.startswith(target) for use in found]
    files = sorted(path.name for path in FOLDER.glob(f"{target}*.json"))
    rows = ["| permission | needed by | without it |", "| --- | --- | --- |"]
    actions = sorted({(use.permission.action.lower(), _data(use)) for use in uses})
    rows += [_row(target, action, data, uses) for action, data in actions]
    roles = (f"{role}: {', '.join(BUILT_IN[target][role])}" for role in BUILT_IN.get(target, ()))
    built_in = "".join(f"- {line}\n" for line in roles)
    listed = "".join(f"- `infra/policies/{name}`\n" for name in files)
    heading = f"Built-in roles that cover these:\n\n{built_in}\n" if built_in else ""
    return f"## {target}\n\n{listed}\n{heading}" + "\n".join(rows) + "\n"


def _data(use: Use) -> bool:
    return bool(getattr(use.permission, "data", False))


def _row(target: str, action: str, data: bool, uses: Iterable[Use]) -> str:
    found = [use for use in uses if use.permission.action.lower() == action]
    name = min(use.permission.action for use in found)
    commands = sorted({use.command for use in found}, key=_ORDER.index)
    lost = {OPTIONAL[f"{target}-{role}"].get(name, "") for role in ROLES} - {""}
    kind = " (data)" if data else ""
    return f"| `{name}`{kind} | {', '.join(commands)} | {'; '.join(sorted(lost))} |"
