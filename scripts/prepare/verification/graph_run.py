"""The graph of a model directory as what verification asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnxferry.scoring.engine import Array, Session, batch_dependent
from onnxferry.scoring.manifest import MODEL_FILE
from onnxferry.scripts.prepare.sources.known_outputs import KnownOutputs
from onnxferry.scripts.prepare.sources.source import Feeds


class GraphRun:
    """A RunModel of the model directory `folder`: loaded when it is asked what it has not answered
    yet, until `let_go`. The names of outputs are not looked at: all are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batch_dependent = batch_dependent(folder / MODEL_FILE)
        self._session: Session | None = None
        self.known = KnownOutputs(lambda feeds, _: self.load().run(feeds))

    def __call__(self, feeds: Feeds, outputs: Sequence[str] = ()) -> list[Array]:
        """See RunModel. Raises ModelError where the graph cannot be loaded."""
        if not self.knows(feeds):
            self.load()  # is not of the time that a run takes
        return self.known(feeds, ())

    @property
    def seconds(self) -> float:
        """That it ran."""
        return self.known.seconds

    def knows(self, feeds: Feeds) -> bool:
        """Whether it has answered these feeds."""
        return self.known.knows(feeds, ())

    def load(self) -> Session:
        """The graph, which is loaded once. Raises ModelError where ONNX Runtime refuses it."""
        if self._session is None:
            self._session = Session(self.folder / MODEL_FILE)
        return self._session

    def let_go(self) -> None:
        """Free the graph; what it has answered stays known."""
        self._session = None
