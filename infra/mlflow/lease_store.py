"""The lease on an endpoint, as registered models: NAME-lease-1, NAME-lease-2, ...

MLflow has one call that does something only where nobody else did: a name can be registered once.
So each writing registers the name with the next number, with the document as its description;
whose registration is taken has written, and deletes the numbers before. Tags and aliases, which may
be set by two at once, would not do.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_types import Registered
from onnxferry.infra.errors import NameTaken, NotFound
from onnxferry.infra.lease import Stored
from onnxferry.infra.mlflow.names import LEASE, Names


@dataclass(frozen=True)
class RegisteredLease:
    """See infra.lease.LeaseStore."""

    server: MlflowServer
    names: Names

    def read(self) -> Stored | None:
        """The document with the highest number."""
        there = self._there()
        if not there:
            return None
        number = max(there)
        age = max(0.0, self.server.now() - there[number].created)
        return Stored(there[number].description, str(number), age)

    def write(self, text: str, etag: str) -> str | None:
        """A number that was in use before, and deleted, may be had again: so the first and the last
        that are there tell who was quicker. Raises NameTaken, too, for somebody else's model."""
        last = int(etag or 0)
        name = f"{self.names.lease}{last + 1}"
        try:
            self.server.create_model(name, {LEASE: self.names.endpoint}, text)
        except NameTaken:
            return self._taken(name, text, last + 1)
        there = self._there()
        if max(there, default=0) != last + 1 or (last and last not in there):
            self._delete(name)
            return None
        for number in sorted(there)[:-1]:
            self._delete(there[number].name)
        return str(last + 1)

    def delete(self) -> None:
        """Remove all of it."""
        for found in self._there().values():
            self._delete(found.name)

    def _taken(self, name: str, text: str, number: int) -> str | None:
        """A further attempt after a lost answer finds what the first has written."""
        found = self.server.model(name)
        if found and not self._is_lease(found):
            raise NameTaken(
                f"registered model {name}: it is there, and is no lease of onnxferry's (no tag"
                f" {LEASE}={self.names.endpoint}); rename it, or choose another endpoint: --name"
            )
        return str(number) if found and found.description == text else None

    def _there(self) -> dict[int, Registered]:
        """By their numbers."""
        start = self.names.lease
        found = self.server.models(f"name LIKE '{start}%'")
        leases = ((one.name.removeprefix(start), one) for one in found if self._is_lease(one))
        return {int(number): one for number, one in leases if number.isdigit()}

    def _is_lease(self, found: Registered) -> bool:
        return found.tags.get(LEASE) == self.names.endpoint

    def _delete(self, name: str) -> None:
        try:
            self.server.delete_model(name)
        except NotFound:
            return
