"""What the tables of Azure's targets have in common, and the table of Functions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, StringConstraints

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging
from onnxferry.infra.target_tables.table import PricedTable

Guid = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]


def resource_id(kind: str, *kinds: str) -> Any:
    """The field of a resource of Azure, by its id: of a `kind`, or of one in another."""
    form = "/subscriptions/{0}/resourceGroups/{0}/providers/Microsoft." + kind + "/{0}"
    form += "".join(f"/{inner}/{{0}}" for inner in kinds)
    pattern = "(?i)^" + form.replace(".", r"\.").format("[^/]+") + "$"
    return Field(None, pattern=pattern, examples=[form.format("...")])


class AzureTable(PricedTable):
    subscription: Guid
    """Subscription id."""
    resource_group: str = Field(pattern=r"^[\w.()-]{0,89}[\w()-]$")
    """Resource group."""
    tenant: Guid | None = None
    """Tenant id; default: that of the sign-in."""


class Functions(AzureTable):
    """Azure Functions on Flex Consumption. Sign in with `az login`."""

    rules, tag_rules = variables.FUNCTIONS, tagging.STORAGE
    location: str = Field("westeurope", pattern=r"^[a-z0-9]+$")
    """Region; the group is created there."""
    storage_account: str | None = Field(None, pattern=r"^[a-z0-9]{3,24}$")
    """Storage account; default: named after the app, created."""
    instance_memory_mb: Literal[512, 2048, 4096] = 2048
    """Memory of an instance in MB."""
    maximum_instance_count: int = Field(40, ge=1, le=1000)
    """Most instances. Fewer than 40 throttle a burst of requests."""
    http_concurrency: int | None = Field(None, ge=1, le=1000)
    """Requests an instance at a time; default: what its memory allows."""
    always_ready: int = Field(0, ge=0, le=1000)
    """Instances that always run, billed by the hour; 0: none, and the first request waits."""
    application_insights: bool = True
    """Make Application Insights, which keeps the function's logs; false leaves it out."""
    subnet: str | None = resource_id("Network/virtualNetworks", "subnets")
    """Resource id of the subnet that the app's outgoing connections leave by; it is delegated to
    Microsoft.App/environments."""
    identity: str | None = resource_id("ManagedIdentity/userAssignedIdentities")
    """Resource id of a user-assigned identity; default: the app's own identity alone."""
    auth: Literal["function", "anonymous", "entra"] = "function"
    """Who may call: whoever has a function key, anybody, or whom Microsoft Entra ID signed in."""
    entra_client_id: Guid | None = None
    """Application (client) id of the app registration, for auth = "entra"."""
    entra_audiences: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Audiences whose tokens are taken; default: api://ENTRA_CLIENT_ID."""
    allow_urls: bool = False
    """Fetch pictures that a request names by URL: https, from public addresses alone."""
    url_hosts: tuple[str, ...] = ()
    """Hosts that pictures are fetched from, like images.example.com or *.example.com; default:
    any."""
    requests_per_month: int | None = Field(None, ge=0)
    """Requests that `plan` estimates the cost for."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> Functions:
        if (self.auth == "entra") != bool(self.entra_client_id):
            raise variables.problem('auth = "entra" and entra_client_id go together')
        if self.entra_audiences and self.auth != "entra":
            raise variables.problem('entra_audiences needs auth = "entra"')
        if self.url_hosts and not self.allow_urls:
            raise variables.problem("url_hosts needs allow_urls = true")
        if self.always_ready > self.maximum_instance_count:
            most = f"maximum_instance_count ({self.maximum_instance_count})"
            raise variables.problem(f"always_ready ({self.always_ready}) is more than {most}")
        return self

    @pydantic.field_validator("url_hosts")
    @classmethod
    def _hosts(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return variables.hosts(given)

    @pydantic.field_validator("subnet")
    @classmethod
    def _named(cls, given: str | None) -> str | None:
        if given and "_" in given.rpartition("/")[2]:
            said = "an app on Flex Consumption takes no subnet with an underscore in its name"
            raise variables.problem(f"{said}; got {given.rpartition('/')[2]}")
        return given
