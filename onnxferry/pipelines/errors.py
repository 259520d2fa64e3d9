"""What the pipelines refuse before a model is asked. As everywhere in the core a message names the
argument, what was expected and what came; ValueError is what DeepSparse's users catch.

ModelError      PipelineError     an argument, a task or a configuration that cannot be used
InvalidValue    InvalidInput      an array or an input of the wrong type, shape or number
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from onnxferry.scoring.errors import InvalidValue, ModelError


class PipelineError(ModelError, ValueError):
    """An argument, a task or a configuration that cannot be used."""


class InvalidInput(InvalidValue, ValueError):
    """An input of a call that has the wrong type, shape or number."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that is like it, and all."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"known: {', '.join(names)}"
