"""A task for pictures whose requests may name them by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxferry.scoring.codecs import Image
from onnxferry.scoring.urls import named
from onnxferry.scoring.urls.fetcher import Fetcher

if TYPE_CHECKING:
    from onnxferry.scoring.tasks import Task


class Fetching:
    """A Task in front of another, which gets the pictures' bytes."""

    def __init__(self, task: Task, fetcher: Fetcher) -> None:
        self._task, self._fetcher = task, fetcher

    @property
    def accepts(self) -> tuple[str, ...]:
        """See Task."""
        return self._task.accepts

    def answer(self, payload: Any) -> Any:
        """See Task."""
        return self._task.answer(self._fetched(payload))

    def _fetched(self, payload: Any) -> Any:
        """`payload` with an Image in place of each URL of `inputs`."""
        inputs: Any = payload.get("inputs") if isinstance(payload, dict) else None
        many = isinstance(inputs, list)
        items = (
            {f"inputs[{i}]": item for i, item in enumerate(inputs)} if many else {"inputs": inputs}
        )
        urls = {where: url for where, item in items.items() if (url := named(item))}
        if not urls:
            return payload
        found = self._fetcher.pictures(urls)
        got = [Image(found[where]) if where in found else item for where, item in items.items()]
        return {**payload, "inputs": got if many else got[0]}
