"""A user-assigned identity that is given is looked at before anything is made: it must be there,
and may read the workspace's storage and pull from its registry. Azure gives these rights to an
identity that it makes itself, and none to this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.clients.azure_given import Given, Identity
from onnxferry.infra.clients.azure_roles import Roles
from onnxferry.infra.errors import NotAllowed, NotFound, Refused

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
_PULL = "Microsoft.ContainerRegistry/registries/pull/read"


@dataclass(frozen=True)
class _Right:
    """An `action` on what is at `scope`, and the built-in role that is for it."""

    scope: str
    action: str
    role: str
    data: bool = False


def checked(clients: Clients, id_: str | None) -> tuple[str, ...]:
    """What is not known of the identity of that id. Raises NotFound where there is none, and
    Refused where it lacks a right."""
    if not id_:
        return ()
    try:
        found = Given(clients.session).identity(id_)
        if found is None:
            raise NotFound(
                f"identity {_last(id_)}: there is none of the id {id_}. Correct identity in"
                " [azureml] of deploy.toml, or leave it out: the endpoint then has one of its own"
            )
        return tuple(_notes(clients, found))
    except NotAllowed as e:
        return (f"What the identity {_last(id_)} may do is not known: {e}",)


def _notes(clients: Clients, found: Identity) -> Iterator[str]:
    storage, registry = clients.workspace.associated()
    rights = [_Right(storage, _BLOBS, "Storage Blob Data Reader", data=True)]
    if registry:
        rights.append(_Right(registry, _PULL, "AcrPull"))
    else:
        yield (
            "The workspace has no container registry yet, so whether the identity"
            f" {found.name} may pull from it is not known: once it is there, give it AcrPull"
        )
    roles = Roles(clients.session)
    lacking = [r for r in rights if not roles.gives(r.scope, found.principal, r.action, r.data)]
    if lacking:
        raise Refused(_refusal(found, lacking))


def _refusal(found: Identity, lacking: list[_Right]) -> str:
    what = " and ".join(f"{right.action} on {_last(right.scope)}" for right in lacking)
    commands = "; ".join(
        f'az role assignment create --assignee-object-id {found.principal} --role "{right.role}"'
        f" --assignee-principal-type ServicePrincipal --scope {right.scope}"
        for right in lacking
    )
    return (
        f"identity {found.name}: no role gives it {what}, so a deployment could not start. What"
        f" next: {commands}; then wait some minutes and run again"
    )


def _last(id_: str) -> str:
    return id_.rpartition("/")[2]
