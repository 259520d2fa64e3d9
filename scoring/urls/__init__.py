"""Pictures by URL: fetched from public hosts alone, and only where the host allows it.

A client chooses the URL, and the host stands where clients may not reach: beside metadata services
and private networks. So a name is looked up once, every address that it has must be public, and the
connection goes to the address that was checked; at each redirect all of it again.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

from onnxferry.scoring.codecs import IMAGES, ImageUrl
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.urls.policy import ALLOW, HOSTS, PREFIX, Policy

if TYPE_CHECKING:
    from onnxferry.scoring.tasks import Task

__all__ = ["ALLOW", "HOSTS", "PREFIX", "Policy", "fetching", "named"]

_SCHEME = re.compile(r"\s*(?!data:)[A-Za-z][A-Za-z0-9+.-]*:")


def named(value: object) -> ImageUrl | None:
    """The URL that a value of `inputs` is, of any scheme but data:, which holds the picture."""
    if isinstance(value, str) and _SCHEME.match(value):
        return ImageUrl(value)
    return value if isinstance(value, ImageUrl) else None


def fetching(task: Task, policy: Policy) -> Task:
    """`task`, if `policy` allows it and it takes pictures, behind what fetches them. Raises
    ModelError for a host without urllib3."""
    if not policy.allow or not set(IMAGES) & set(task.accepts):
        return task
    if find_spec("urllib3") is None:
        raise ModelError(f"{ALLOW}: this host has no urllib3; pip install 'urllib3>=2.2'")
    from onnxferry.scoring.urls.fetcher import Fetcher
    from onnxferry.scoring.urls.task import Fetching

    return Fetching(task, Fetcher(policy))
