"""How callers of an app prove who they are, and the headers by which this machine does."""

from __future__ import annotations

from onnxferry.infra.clients import function_host
from onnxferry.infra.clients.function_apps import FunctionApp
from onnxferry.infra.functions import given_keys, sign_in
from onnxferry.infra.functions.names import KEYS
from onnxferry.infra.functions.state import Clients


def auth_of(app: FunctionApp) -> str:
    """How callers prove who they are, as the app was deployed: "function", "anonymous" or
    "entra"."""
    return given_keys.read(app.tags.get(KEYS, "")).get(given_keys.AUTH, "function")


def shown(clients: Clients, app: FunctionApp, *, master: bool = False) -> dict[str, str]:
    """The headers that let this machine in, with the function key, or the master key, which is not
    needed everywhere; and with a token where the platform asks for one. Never printed."""
    keys = clients.web.keys(app.name)
    key = {function_host.KEY: keys.master if master else keys.function}
    return {**key, **_token(clients, app)}


def shown_by_callers(clients: Clients, app: FunctionApp) -> dict[str, str]:
    """The headers that a caller needs, and no more."""
    if auth_of(app) == "function":
        return shown(clients, app)
    return _token(clients, app)


def _token(clients: Clients, app: FunctionApp) -> dict[str, str]:
    audience = sign_in.audience(clients.web.sign_in(app.name))
    if not audience:
        return {}
    return {"Authorization": f"Bearer {clients.session.token_for(audience)}"}
