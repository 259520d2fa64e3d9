"""What the registry and the experiment have for one endpoint now, as frozen data for plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_types import READY, Experiment, Logged, Registered, Version
from onnxferry.infra.mlflow.names import CHALLENGER, CHAMPION, FILES, REPLACES, VERSION, Names


@dataclass(frozen=True)
class CurrentState:
    """The registered model with its versions, oldest first, and what of ours is logged. `place` is
    where that is, for people; `there` is False for a database that is not made yet."""

    names: Names
    place: str
    there: bool = True
    experiment: Experiment | None = None
    model: Registered | None = None
    versions: Sequence[Version] = ()
    logged: Sequence[Logged] = ()

    @property
    def is_ours(self) -> bool:
        """Whether deploying made the registered model."""
        return self.model is not None and self.names.is_ours(self.model.tags)

    @property
    def ours(self) -> dict[str, Version]:
        """The versions that onnxferry made, by number."""
        return {v.number: v for v in self.versions if self.names.is_ours(v.tags)}

    @property
    def others(self) -> list[str]:
        """The numbers of the other versions."""
        return [v.number for v in self.versions if v.number not in self.ours]

    @property
    def aliases(self) -> Mapping[str, str]:
        """The number that each alias is on."""
        return self.model.aliases if self.model else {}

    @property
    def champion(self) -> str:
        """The number of the version that serves; "" if none does."""
        return self.aliases.get(CHAMPION, "")

    @property
    def challenger(self) -> str:
        """The number of the version that is being proved; "" if none is."""
        return self.aliases.get(CHALLENGER, "")

    @property
    def previous(self) -> str:
        """The number of the version that served before, if it is still there."""
        champion = self.ours.get(self.champion)
        number = champion.tags.get(REPLACES, "") if champion else ""
        return number if number in self.ours and number != self.champion else ""

    @property
    def unproved(self) -> list[Version]:
        """Our versions that have not served: left by a run that was cut off or failed."""
        return [v for v in self.ours.values() if not (REPLACES in v.tags or self._aliased(v))]

    def _aliased(self, version: Version) -> bool:
        """Whether an alias is on it, other than that of what is being proved."""
        return any(v == version.number for a, v in self.aliases.items() if a != CHALLENGER)

    def unused(self, gone: Sequence[Version] = ()) -> list[Logged]:
        """What is logged, and no version is made of, whoever made it, but those that are `gone`."""
        left = [version for version in self.versions if version not in gone]
        used = {one.id for one in map(self.files_of, left) if one}
        return [one for one in self.logged if one.id not in used]

    def files_of(self, version: Version) -> Logged | None:
        """What a version is made of."""
        id_, place = version.tags.get(FILES), version.source
        return next((one for one in self.logged if one.id == id_ or one.location == place), None)

    def version(self, number: str) -> str:
        """The 12 digits of one of our versions; "" of another."""
        found = self.ours.get(number)
        return found.tags.get(VERSION, "") if found else ""

    def numbered(self, version: str) -> Version | None:
        """Our version, whole, of a package by its 12 digits: the newest."""
        found = [v for v in self.ours.values() if v.tags.get(VERSION) == version]
        return next((v for v in reversed(found) if v.state == READY), None)

    def files(self, version: str) -> Logged | None:
        """What is logged, whole, of a package by its 12 digits."""
        found = (one for one in self.logged if one.tags.get(VERSION) == version and one.ready)
        return next(found, None)


def read_state(server: MlflowServer, names: Names, *, files: bool = True) -> CurrentState:
    """The endpoint now; without `files`, only what the registry has."""
    where = server.place.shown
    if not server.place.there:
        return CurrentState(names, where, there=False)
    model = server.model(names.model)
    versions = server.versions(names.model) if model else ()
    experiment = server.experiment(names.experiment) if files else None
    logged = server.logged(experiment, names.marked) if experiment else ()
    return CurrentState(names, where, True, experiment, model, versions, logged)
