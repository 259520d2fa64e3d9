"""How a plan's steps are executed: each public method is one Step.operation, does what the step's
parameters say, and may be done twice. What deletes or replaces something reads once more, just
before, whose that is and what serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_types import Experiment, Version
from onnxferry.infra.errors import NameTaken, NotFound, Refused
from onnxferry.infra.mlflow.lease_store import RegisteredLease
from onnxferry.infra.mlflow.names import (
    CHALLENGER,
    CHAMPION,
    FILES,
    FIRST,
    MADE,
    REPLACES,
    VERSION,
    Names,
)
from onnxferry.infra.mlflow.smoke import SmokeTest
from onnxferry.infra.mlflow.state import CurrentState, read_state
from onnxferry.infra.plan import Step
from onnxferry.infra.tidying import optional
from onnxferry.scripts.package.archive import fingerprint
from onnxferry.system.console import Progress
from onnxferry.system.errors import PackageError


@dataclass(frozen=True)
class Operations:
    """The operations at one registered model."""

    server: MlflowServer
    names: Names
    smoke_test: SmokeTest
    progress: Progress

    def create_database(self, step: Step) -> None:
        """Make the SQLite file."""
        self.server.create_database()

    def create_experiment(self, step: Step) -> None:
        """Make the experiment."""
        self.server.create_experiment(step.name)

    def log(self, step: Step) -> None:
        """Store the package's files. Raises PackageError for a changed package."""
        source, sha256 = Path(step.parameters["source"]), step.parameters["sha256"]
        if fingerprint(source) != sha256:
            raise PackageError(f"{source}: changed since the plan; deploy again")
        experiment, tags = self._experiment(), step.parameters["tags"]
        self.server.log(experiment, source, self.names.endpoint, tags)

    def create_model(self, step: Step) -> None:
        """Register the name. Raises NameTaken where somebody else has just done so."""
        try:
            self.server.create_model(step.name, step.parameters["tags"])
        except NameTaken as e:
            found = self.server.model(step.name)
            if not found or not self.names.is_ours(found.tags):
                raise NameTaken(
                    f"{e}: somebody else has just made it; run the command again"
                ) from e

    def tag_model(self, step: Step) -> None:
        """Set tags of the registered model."""
        self.server.tag_model(step.name, step.parameters["tags"])

    def tag_version(self, step: Step) -> None:
        """Set tags of a version."""
        facts = step.parameters
        self.server.tag_version(self.names.model, facts["number"], facts["tags"])

    def register(self, step: Step) -> None:
        """Register what is logged as a version."""
        state, version = self._state(files=True), step.parameters["version"]
        if state.numbered(version):
            return
        if (found := state.files(version)) is None:
            raise NotFound(f"{self.names.version(version)}: its files are gone; run again")
        tags = {**step.parameters["tags"], FILES: found.id}
        self.server.create_version(self.names.model, found, tags)

    def challenge(self, step: Step) -> None:
        """Put alias challenger on a version."""
        state = self._state()
        if state.challenger and state.challenger not in state.ours:
            raise Refused(self._not_ours(f"the version that alias {CHALLENGER} is on"))
        self.server.set_alias(self.names.model, CHALLENGER, self._found(state, step).number)

    def drop_challenger(self, step: Step) -> None:
        """Take alias challenger away, unless it is on somebody else's version."""
        state = self._state()
        if state.challenger in state.ours:
            self.server.delete_alias(self.names.model, CHALLENGER)

    def smoke(self, step: Step) -> None:
        """Fetch a version, and ask it the golden requests."""
        self.smoke_test.run(self._found(self._state(), step))

    def promote(self, step: Step) -> None:
        """Move alias champion to a version, which records what served before. Raises Refused where
        somebody has moved it since the plan."""
        state, seen = self._state(), step.parameters["seen"]
        found = self._found(state, step)
        if state.champion == found.number:
            return
        if state.champion != seen:
            raise Refused(self._moved(state))
        self.server.tag_version(self.names.model, found.number, {REPLACES: seen or FIRST})
        self.server.set_alias(self.names.model, CHAMPION, found.number)

    def put_back(self, step: Step) -> None:
        """Move alias champion back from a version that this run has put it on, or take it away."""
        state, number = self._state(), step.parameters["number"]
        if state.champion in ("", number):
            return
        if state.champion != self._found(state, step, step.parameters["seen"]).number:
            raise Refused(self._moved(state))
        if number:
            self.server.set_alias(self.names.model, CHAMPION, number)
        else:
            self.server.delete_alias(self.names.model, CHAMPION)

    def confirm(self, step: Step) -> None:
        """Raise Refused where alias champion is not on the version."""
        state = self._state()
        if state.champion != self._found(state, step).number:
            raise Refused(self._moved(state))

    def delete_version(self, step: Step) -> None:
        """Delete a version. Raises Refused where it is champion, or is not ours."""
        state = self._state()
        for found in state.versions:
            if _named(found.number, found.tags, step):
                where = f"{self.names.where}, version {found.number}"
                if found.number in state.others:
                    raise Refused(self._not_ours(where))
                if found.number == state.champion:
                    raise Refused(f"{where}: alias {CHAMPION} is on it, so it stays; run again")
                self.server.delete_version(self.names.model, found.number)

    def delete_model(self, step: Step) -> None:
        """Delete the registered model. Raises Refused where it, or a version, is not ours."""
        state = self._state()
        if state.model is None:
            return
        if not state.is_ours or state.others:
            raise Refused(self._not_ours(self.names.where + ", or a version of it"))
        self.server.delete_model(self.names.model)

    def delete_files(self, step: Step) -> None:
        """Delete what is logged, by its id or its version, unless a registered version is made of
        it."""
        with optional(step):
            for one in self._state(files=True).unused():
                if _named(one.id, one.tags, step):
                    self.server.delete_logged(one)

    def delete_lease(self, step: Step) -> None:
        """Delete the lease."""
        RegisteredLease(self.server, self.names).delete()

    def _state(self, *, files: bool = False) -> CurrentState:
        return read_state(self.server, self.names, files=files)

    def _experiment(self) -> Experiment:
        if found := self.server.experiment(self.names.experiment):
            return found
        raise NotFound(f"experiment {self.names.experiment}: it is gone; run again")

    def _found(
        self, state: CurrentState, step: Step, facts: Mapping[str, str] | None = None
    ) -> Version:
        """The version that the parameters name, by its number or its 12 digits."""
        wanted = facts or step.parameters
        number, version = wanted.get("number", ""), wanted.get("version", "")
        found = state.ours.get(number) if number else state.numbered(version)
        if found is None:
            label = self.names.version(version or number)
            raise NotFound(f"{self.names.where}: version {label} is gone; run again")
        return found

    def _moved(self, state: CurrentState) -> str:
        on = f"on version {state.champion}" if state.champion else "gone"
        said = f"another run has moved alias {CHAMPION} since: it is {on}"
        return f"{self.names.where}: {said}. Nothing was put back; look, then run again"

    def _not_ours(self, what: str) -> str:
        mark = f"{MADE}={self.names.endpoint}"
        return f"{what}: onnxferry did not make it (no tag {mark}), so it stays as it is"


def _named(id_: str, tags: Mapping[str, str], step: Step) -> bool:
    """Whether the parameters name a thing, by its number or id, or by its 12 digits."""
    facts = step.parameters
    if "version" in facts:
        return tags.get(VERSION) == str(facts["version"])
    return id_ == str(facts.get("number") or facts["id"])
