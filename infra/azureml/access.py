"""Who reaches an endpoint, and as whom its containers reach other things: what can be changed while
it is there, and what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.clients.azure import Wait
from onnxferry.infra.clients.azureml_endpoints import FAILED
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Action, Step

PUBLIC = "public_network_access"
_KEPT = "Set that in [azureml] of deploy.toml, or deploy under another name"


def check(state: CurrentState, wanted: Mapping[str, Any]) -> None:
    """Raise Refused where the endpoint's auth_mode or identity is not what endpoint.yml's `wanted`
    says."""
    found, where = state.endpoint, state.names.where
    if found is None:
        return
    auth_mode = wanted["auth_mode"]
    if len({mode.lower().replace("_", "") for mode in (found.auth_mode, auth_mode) if mode}) > 1:
        raise Refused(
            f"{where}: its auth_mode is {found.auth_mode}, and {auth_mode} is asked for, which"
            f" would lock its clients out. {_KEPT}"
        )
    if found.identities != _identities(wanted):
        raise Refused(
            f"{where}: its identity is {_named(found.identities)}, and"
            f" {_named(_identities(wanted))} is asked for, but Azure changes no identity of an"
            f" endpoint that is there. {_KEPT}"
        )


def opened(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Let the endpoint that is there take requests from the internet, or not, as it shall."""
    found, wanted = state.endpoint, desired.endpoint.get(PUBLIC)
    if found is None or found.state in FAILED or wanted in (None, _word(found.public)):
        return []
    change = partial(Step, Action.UPDATE, "network access of endpoint", state.names.endpoint)
    back = change("set_public_access", {PUBLIC: _word(found.public)})
    return [change("set_public_access", {PUBLIC: wanted}, restore=back)]


class AccessOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names
    wait: Wait

    def set_public_access(self, step: Step) -> None:
        """Let the endpoint take requests from the internet, or not."""
        until = partial(self.wait, f"{step.resource} {step.name}")
        self.clients.endpoints.set_public_access(step.name, step.parameters[PUBLIC], until)


def _identities(wanted: Mapping[str, Any]) -> frozenset[str]:
    given = wanted.get("identity", {}).get("user_assigned_identities", ())
    return frozenset(one["resource_id"].lower() for one in given)


def _named(identities: frozenset[str]) -> str:
    names = sorted(id_.rpartition("/")[2] for id_ in identities)
    return ", ".join(names) or "one of its own"


def _word(public: bool) -> str:
    return "enabled" if public else "disabled"
