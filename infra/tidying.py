"""Steps that only tidy up: where one fails, that is told, and ends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape

from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Step
from onnxferry.system import console


@contextmanager
def optional(step: Step) -> Iterator[None]:
    """Tell of a CloudError of the block where the step's parameters say `optional`."""
    try:
        yield
    except CloudError as e:
        if not step.parameters.get("optional"):
            raise
        told(f"{step} did not succeed, and can wait: {e}")


def told(text: str) -> None:
    """Say on standard error, in grey, what needs nobody's action."""
    console.err.print(f"[dim]..[/dim] {escape(text)}")
