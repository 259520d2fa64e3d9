"""How callers of an online endpoint are let in, and its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from onnxferry.infra.access_keys import KINDS, Access, AccessKey, fingerprint, warning
from onnxferry.infra.azureml.names import MADE, Names
from onnxferry.infra.azureml.state import Clients, CurrentState, serving_endpoint
from onnxferry.infra.clients.azureml import Until
from onnxferry.infra.clients.azureml_types import ManagedEndpoint, audience
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Action, Step, Summary

_HOW = "Callers send the header Authorization: Bearer {}."
_SCORE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/score/action"
_WITHOUT_KEYS: Mapping[str, str] = {  # what applies instead
    "aml_token": "There are no keys to renew: the workspace gives tokens that expire (`az ml"
    " online-endpoint get-credentials`) to whoever may do onlineEndpoints/token/action; take that"
    " right away from those who shall have none",
    "aad_token": "There are no keys to renew: Microsoft Entra ID gives tokens that expire (`az"
    " account get-access-token --scope {scope}`), and whoever has the right to do " + _SCORE + " on"
    " the endpoint is let in; take it away from those who shall not be",
}


def mode(endpoint: ManagedEndpoint) -> str:
    """The auth mode in deploy.toml's word."""
    plain = endpoint.auth_mode.lower().replace("_", "")
    return {"amltoken": "aml_token", "aadtoken": "aad_token"}.get(plain, plain)


def access(clients: Clients, names: Names) -> Access:
    """How callers are let in. Raises NotFound without an endpoint."""
    endpoint = serving_endpoint(clients, names)
    auth, name = mode(endpoint), f"endpoint {names.endpoint}"
    if auth != "key":
        other = _WITHOUT_KEYS[auth].format(scope=audience(clients.session.where))
        return Access(name, auth, _HOW.format("TOKEN"), other=other)
    found = clients.endpoints.keys(names.endpoint)
    keys = tuple(AccessKey(kind, kind, found[kind]) for kind in KINDS)
    return Access(name, auth, _HOW.format("KEY"), keys)


def rotate(state: CurrentState, found: Access, kind: str) -> tuple[Step, ...]:
    """The step that renews a key. Raises Refused for an endpoint that is not ours, or has none."""
    where = state.names.where
    if not state.is_ours:
        mark = f"{MADE}={state.names.made}"
        raise Refused(f"{where}: onnxferry did not make it (no tag {mark}), so its keys stay")
    if found.other:
        raise Refused(f"{where}: its auth_mode is {found.auth}. {found.other}")
    facts = {"kind": kind, "seen": fingerprint(found.key(kind).value)}
    name = state.names.endpoint
    return (Step(Action.UPDATE, f"{kind} key of endpoint", name, "rotate_key", facts),)


def summary(state: CurrentState, kind: str) -> Summary:
    """What renewing a key means."""
    place = f"workspace {state.names.workspace}, {state.location}"
    return Summary(place, notes=(warning(kind),))


class KeyOperations:
    """How a plan's step is executed."""

    clients: Clients
    names: Names
    _until: Callable[[Step], Until]

    def rotate_key(self, step: Step) -> None:
        """Renew a key, if it is the one that the plan saw. Raises Refused where the endpoint is not
        ours, or kept the key."""
        endpoints, facts, name = self.clients.endpoints, step.parameters, self.names.endpoint
        endpoint = serving_endpoint(self.clients, self.names)
        if not self.names.is_ours(endpoint.tags):
            raise Refused(f"{self.names.where}: it is not onnxferry's any more; its keys stay")
        regenerate = partial(endpoints.regenerate_key, name, facts["kind"], self._until(step))
        for _ in range(2):  # again, after an operation in its way
            if fingerprint(endpoints.keys(name)[facts["kind"]]) != facts["seen"] or regenerate():
                break
        if fingerprint(endpoints.keys(name)[facts["kind"]]) == facts["seen"]:
            said = f"Azure has not changed the {facts['kind']} key, which is valid still"
            raise Refused(f"{self.names.where}: {said}; run the command again")
