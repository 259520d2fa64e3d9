"""Run all flows in an account, and keep which permissions they needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.policies import OPTIONAL
from tests.infra.policies.accounts import Account
from tests.infra.policies.flows import Command, Done

Allows = Callable[[Any], bool]


@dataclass(frozen=True)
class Use:
    """A run of `command` by `role` needed `permission`, and had it."""

    role: str
    command: str
    permission: Any


@dataclass
class Recording:
    """Of the runs in one account: what they used, and what was not as it should be."""

    used: set[Use] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Grown(Recording):
    """What each role was given, an action at a time, since a run that failed named it; `spare` are
    the others without which all runs came to their ends."""

    named: dict[str, set[str]] = field(default_factory=dict)
    missed: dict[str, set[str]] = field(default_factory=dict)

    def spare(self, role: str) -> set[str]:
        return self.missed[role] - self.named[role]


def record(account: Account, allowed: Mapping[str, Allows] | None = None) -> Recording:
    """All flows, each role with what it is `allowed`; None: with all permissions that there are."""
    found = Recording()
    for command in account.flows():
        may = _either(allowed[command.role], account.granted) if allowed else _everything
        done, refused = _run(account, command, may, found)
        found.wrong += [f"{command}: not in the file: {p}" for p in refused]
        if not done.right:
            found.wrong.append(f"{command}: exit code {done.code}: {done.text[-2000:]}")
    return found


def grow(account: Account, allowed: Mapping[str, Allows]) -> Grown:
    """All flows, at first with no permission, and each again with the one more that its message
    names, as long as the role is `allowed` it. What a run does without, it is given next, to
    record what it would have used; a deletion has what is optional from its start."""
    found = Grown()
    for command in account.flows():
        for kept in (found.named, found.missed):
            kept.setdefault(command.role, set())
        # what is deleted cannot be deleted again
        optional = OPTIONAL[f"{account.run.target}-{command.role}"]
        without = set(optional) if command.name == "delete" else set()
        while more := _grow(account, command, allowed[command.role], found, without):
            without |= more
    return found


def _grow(
    account: Account, command: Command, allowed: Allows, found: Grown, without: set[str]
) -> set[str]:
    """One run; the actions with which to run again."""
    named = found.named[command.role]
    given = named | without

    def has(permission: Any) -> bool:
        given_by_role = permission.action in given and allowed(permission)
        return given_by_role or account.granted(permission)

    done, refused = _run(account, command, has, found)
    found.wrong += [f"{command}: not in the file: {p}" for p in refused if p.action in given]
    lacking = {p.action for p in refused} - given
    told = set(_first_told(done.text, refused, given))
    if done.right:
        found.missed[command.role] |= lacking
        silent = {action for action in lacking if not _tells(done.text, action)}
        found.wrong += [f"{command}: silent without {action}" for action in sorted(silent)]
        return lacking
    named |= told
    if not told:
        said = f"exit code {done.code}, without {lacking}: {done.text[-2000:]}"
        found.wrong.append(f"{command}: {said}")
    return told


_ROLES = {  # what a message names instead, where Azure does not tell which action is missing
    "/containers/": "Storage Blob Data Contributor",
    "/publish/": "Website Contributor",
}


def _first_told(text: str, refused: list[Any], given: set[str]) -> list[str]:
    """The action that stopped a run, by the words of its error; notes may name others."""
    _, stopped, error = f"\n{text}".rpartition("\nerror: ")
    if not stopped:
        return []
    actions = (p.action for p in refused)
    return [a for a in actions if a not in given and _tells(error, a)][:1]


def _tells(text: str, action: str) -> bool:
    words = [action, *(word for part, word in _ROLES.items() if part in action)]
    flat = " ".join(text.split()).lower()
    return any(word.lower() in flat for word in words)


def _either(one: Allows, other: Allows) -> Allows:
    return lambda permission: one(permission) or other(permission)


def _everything(permission: Any) -> bool:
    return True


def _run(
    account: Account, command: Command, allows: Allows, found: Recording
) -> tuple[Done, list[Any]]:
    account.before(command)
    authorizer = account.authorizer
    authorizer.used, authorizer.refused, authorizer.allows = set(), [], allows
    done = account.run(command)
    found.used |= {Use(command.role, command.name, p) for p in authorizer.used}
    return done, authorizer.refused
