"""The forms of bodies that the server's routes speak, by name, each imported when it is used."""

from __future__ import annotations

import functools
import pkgutil

from onnxferry.scoring.forms import Form

FORMS = {"pipeline": "onnxferry.scoring.forms:PIPELINE"}


@functools.cache
def named(name: str) -> Form:
    """The form `name` of FORMS."""
    form: Form = pkgutil.resolve_name(FORMS[name])
    return form
