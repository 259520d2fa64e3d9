"""Resource groups."""

from __future__ import annotations

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.shapes import ANY, NEEDED

TYPES = (ResourceType("Microsoft.Resources/resourceGroups", {"location": NEEDED, "tags": ANY}),)
