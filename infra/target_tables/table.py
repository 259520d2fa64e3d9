"""What the tables of all targets are."""

from __future__ import annotations

from typing import Any, ClassVar

import pydantic
from pydantic import BaseModel, Field

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging


class Table(BaseModel):
    """What all tables are: frozen, and without keys of their own."""

    # the text below a field is its description: for error messages, the schema and `init`
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TargetTable(Table):
    """What the tables of all clouds have."""

    rules: ClassVar[variables.Rules]
    tag_rules: ClassVar[tagging.TagRules] = tagging.AZURE
    wait_minutes: float = Field(30, gt=0, le=240)
    """Limit of each wait for the cloud, in minutes."""
    tags: dict[str, str] = {}
    """Tags put on every resource that is created."""
    environment: dict[str, str] = Field(
        {}, json_schema_extra={"propertyNames": {"pattern": variables.NAME}}
    )
    """Environment variables of the deployment, such as {ONNXFERRY_ENGINE_THREADS = "2"}."""

    @pydantic.field_validator("environment", mode="before")
    @classmethod
    def _allowed(cls, given: Any) -> Any:
        return variables.checked(given, cls.rules)

    @pydantic.field_validator("tags", mode="before")
    @classmethod
    def _taken(cls, given: Any) -> Any:
        return tagging.checked(given, cls.tag_rules)


class PricedTable(TargetTable):
    """Of a target whose cost is estimated."""

    prices: str | None = None
    """File of your own prices, for what `plan` estimates; default: list prices, where known."""
