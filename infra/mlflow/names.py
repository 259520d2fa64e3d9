"""Names in the registry, and the marks that say whose a thing is and what served before.

A thing is ours where it carries the mark MADE as a tag; and of leases, which are registered models
too, LEASE. The names of tags have no hyphens, which Unity Catalog does not take.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MADE = "onnxferry"  # on all that deploying made; its value is the endpoint's name
VERSION = "onnxferry_version"  # 12 digits of the sha256 of the package
SHA256 = "onnxferry_sha256"  # the package's
DEPLOYED = "onnxferry_deployed"  # when (ISO 8601, UTC)
FILES = "onnxferry_files"  # on a version: the id of the logged model or run that it was made of
REPLACES = "onnxferry_replaces"  # on a proved version: the number that had served before
LEASE = "onnxferry_lease"  # on a lease; its value is the endpoint's name
FIRST = "none"  # the value of REPLACES where nothing had served

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Names:
    """The names for one endpoint; `schema` is Unity Catalog's CATALOG.SCHEMA, or ""."""

    endpoint: str
    experiment: str
    schema: str = ""

    @property
    def model(self) -> str:
        """The registered model."""
        return f"{self.schema}.{self.endpoint}" if self.schema else self.endpoint

    @property
    def url(self) -> str:
        """What serves, as MLflow writes it."""
        return f"models:/{self.alias(CHAMPION)}"

    @property
    def where(self) -> str:
        """The registered model, for people."""
        return f"registered model {self.model}"

    @property
    def lease(self) -> str:
        """How the names of leases begin; a number follows."""
        return f"{self.model}-lease-"

    def alias(self, alias: str) -> str:
        """An alias, for people."""
        return f"{self.model}@{alias}"

    def version(self, version: str) -> str:
        """A version by its 12 digits, for people."""
        return f"{self.model}:{version}"

    @property
    def marked(self) -> str:
        """What finds all with this endpoint's mark."""
        return f"tags.{MADE} = '{self.endpoint}'"

    @property
    def any_mark(self) -> str:
        """What finds all with a mark of ours."""
        return f"tags.{MADE} LIKE '%'"

    def is_ours(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags carry this endpoint's mark."""
        return tags.get(MADE) == self.endpoint
