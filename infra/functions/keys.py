"""How callers of an app are let in, and the host keys that open its functions.

The primary key is the host key that Azure makes, "default"; the secondary one is made when it is
first asked for. Others are their owner's, and the master key, which opens the app's administration,
is neither shown nor renewed.
"""

from __future__ import annotations

from onnxferry.infra.access_keys import Access, AccessKey, fingerprint, warning
from onnxferry.infra.clients import function_host
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.errors import Refused
from onnxferry.infra.functions import sign_in
from onnxferry.infra.functions.callers import auth_of
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.plan import Action, Step, Summary

NAMES = {"primary": "default", "secondary": "secondary"}
_KINDS = {name: kind for kind, name in NAMES.items()}
_OPEN = "The functions are open to everybody who reaches the app: there are no keys to renew"
_TOKENS = "There are no keys to renew: Microsoft Entra ID gives tokens that expire (`az account"


def access(clients: Clients, app: FunctionApp) -> Access:
    """How callers are let in."""
    auth, name = auth_of(app), f"app {app.name}"
    if auth == "anonymous":
        return Access(name, auth, "Callers send no key.", other=_OPEN)
    if auth == "entra":
        audience = sign_in.audience(clients.web.sign_in(app.name))
        other = f"{_TOKENS} get-access-token --scope {audience}/.default`)"
        return Access(
            name, auth, "Callers send the header Authorization: Bearer TOKEN.", other=other
        )
    found = clients.web.function_keys(app.name)
    keys = (AccessKey(key, _KINDS.get(key, ""), value) for key, value in sorted(found.items()))
    return Access(name, auth, f"Callers send the header {function_host.KEY}: KEY.", tuple(keys))


def rotate(app: FunctionApp, found: Access, kind: str) -> tuple[Step, ...]:
    """The step that renews a key, or makes it. Raises Refused where there are none."""
    if found.other:
        raise Refused(f"Azure Functions app {app.name}: its auth is {found.auth}. {found.other}")
    name = NAMES[kind]
    seen = next((fingerprint(key.value) for key in found.keys if key.name == name), "")
    facts = {"app": app.name, "seen": seen}
    action = Action.UPDATE if seen else Action.CREATE
    return (Step(action, "host key", name, "rotate_key", facts),)


def summary(place: str, steps: tuple[Step, ...], kind: str) -> Summary:
    """What renewing a key means."""
    renewed = any(step.action is Action.UPDATE for step in steps)
    return Summary(place, notes=(warning(kind),) if renewed else ())


class KeyOperations:
    """How a plan's step is executed."""

    clients: Clients

    def rotate_key(self, step: Step) -> None:
        """Renew or make a key, if it is as the plan saw it. Raises Refused where Azure kept it."""
        app, seen, web = step.parameters["app"], step.parameters["seen"], self.clients.web
        if _print(web.function_keys(app), step.name) != seen:
            return
        web.renew_function_key(app, step.name)
        if _print(web.function_keys(app), step.name) == seen:
            said = f"Azure has not changed the host key {step.name}; run the command again"
            raise Refused(f"Azure Functions app {app}: {said}")


def _print(keys: dict[str, str], name: str) -> str:
    return fingerprint(keys[name]) if name in keys else ""
