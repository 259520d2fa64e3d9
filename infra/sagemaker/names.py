"""What an endpoint's resources are called. A model and a configuration are named by what they
contain: ENDPOINT-VERSION-DIGEST, so that equal content is found again and different content never
meets."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

ENDPOINT_TAG = "onnxferry:endpoint"  # the endpoint that a resource belongs to
VERSION_TAG = "onnxferry:version"
HISTORY_TAG = "onnxferry:previous"  # configurations that served, newest first
READY_TAG = "onnxferry:ready"  # the last thing that is done to a bucket that is made


@dataclass(frozen=True)
class Names:
    """The names of what belongs to the endpoint `endpoint`."""

    endpoint: str
    region: str

    @property
    def candidate(self) -> str:
        return f"{self.endpoint}-candidate"

    @property
    def role(self) -> str:
        """Roles are the account's, not the region's."""
        return f"onnxferry-{self.endpoint}-{self.region}"

    def of(self, version: str, content: Any) -> str:
        """The name of a model or configuration of `version` with this `content` (JSON data)."""
        return f"{self.endpoint}-{version}-{digest(content)}"

    def version_of(self, name: str) -> str:
        """The version in a name that `of` made; "" for another."""
        found = re.fullmatch(rf"{re.escape(self.endpoint)}-([0-9a-f]{{12}})-[0-9a-f]{{8}}", name)
        return found[1] if found else ""

    def logs(self, endpoint: str) -> str:
        """The log group that SageMaker makes for an endpoint."""
        return f"/aws/sagemaker/Endpoints/{endpoint}"


def bucket_name(account: str, region: str) -> str:
    """The bucket for packages where none is given."""
    return f"onnxferry-{account}-{region}"


def digest(content: Any) -> str:
    """8 hexadecimal digits that name JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def tags(values: dict[str, str]) -> list[dict[str, str]]:
    """Tags as AWS writes them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
