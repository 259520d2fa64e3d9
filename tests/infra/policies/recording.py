"""Run all flows in an account, and keep the permissions that they needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.infra.policies.accounts import Account
from tests.infra.policies.flows import Done, flows

Allows = Callable[[Any], bool]


@dataclass
class Recording:
    """Of the runs in one account: what each role used, and the runs that did not end as they
    should."""

    used: dict[str, set[Any]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    runs: list[Done] = field(default_factory=list)


def record(account: Account, allows: Mapping[str, Allows] | None = None) -> Recording:
    """All flows, each role with the permissions that it has; None: with all there are."""
    found, authorizer = Recording(), account.authorizer
    for command in flows():
        account.before(command)
        authorizer.used, authorizer.refused = found.used.setdefault(command.role, set()), []
        authorizer.allows = (allows or {}).get(command.role, lambda permission: True)
        done = account.run(command)
        found.runs.append(done)
        found.wrong += [f"{command}: refused {permission}" for permission in authorizer.refused]
        if done.code not in command.codes:
            found.wrong.append(f"{command}: exit code {done.code}: {done.text[-2000:]}")
    return found
