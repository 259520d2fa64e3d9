"""What is called how: the resources of one app, and the tags that say whose they are and what
serves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

MADE = "onnxferry"  # tag or metadata on all that deploying made; its value is the app's name
DEPLOYED = "onnxferry-deployed"  # tag: when it was made, or got its version (ISO 8601, UTC)
GIVEN = "onnxferry-tags"  # tag: the names of those that came from deploy.toml, each after a "/"
KEYS = "onnxferry-keys"  # tag on the app: the keys of deploy.toml that set what goes with them
# tags on the app: the sha256 of the package that has proved itself and serves,
VERSION = "onnxferry-version"
PREVIOUS = "onnxferry-previous"  # of the one before it,
# and of the one that is being published: until it is empty again, either may serve
PUBLISHING = "onnxferry-publishing"

PACKAGES = "onnxferry-packages"  # the container of packages and leases
FUNCTION = "score"
PROBES = frozenset({"health", "ready"})  # functions that answer anybody
# the Functions host takes the first 32 characters of an app's name for its id in the storage
# account
_LONGEST = 32
_PACKAGE = re.compile(r"([0-9a-f]{64})\.zip")


@dataclass(frozen=True)
class Names:
    """The names for the app `app` in a resource group."""

    subscription: str
    group: str
    app: str
    given_account: str | None = None

    @property
    def candidate(self) -> str:
        """Differs from the app's name within the host's 32 characters, since both share a storage
        account."""
        plain = f"{self.app}-candidate"
        if len(plain) <= _LONGEST:
            return plain
        return f"{self.app[:17]}-{_hash(self.app.lower(), 4)}-candidate"

    @property
    def account(self) -> str:
        """The storage account: the given one, or one whose name is the app's in this group
        alone."""
        owner = f"{self.subscription}/{self.group}/{self.app}".lower()
        own = re.sub(r"[^a-z0-9]", "", self.app.lower())[:14] + _hash(owner, 10)
        return self.given_account or own

    @property
    def account_id(self) -> str:
        """The storage account's id."""
        return f"{self.group_id}/providers/Microsoft.Storage/storageAccounts/{self.account}"

    @property
    def group_id(self) -> str:
        """The resource group's id."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"

    def app_plan_id(self, app: str) -> str:
        """The id of an app's plan."""
        return f"{self.group_id}/providers/Microsoft.Web/serverfarms/{app_plan(app)}"

    def app_id(self, app: str) -> str:
        """The id of an app."""
        return f"{self.group_id}/providers/Microsoft.Web/sites/{app}"

    @property
    def workspace_id(self) -> str:
        """The id of the Log Analytics workspace for both apps."""
        return f"{self.group_id}/providers/Microsoft.OperationalInsights/workspaces/{self.app}-logs"

    @property
    def component_id(self) -> str:
        """The id of the Application Insights component for both apps."""
        return f"{self.group_id}/providers/Microsoft.Insights/components/{self.app}-insights"

    @property
    def lease(self) -> str:
        """The blob of the endpoint's lease."""
        return f"{self.folder}lease.json"

    def version(self, blob: str) -> str:
        """The sha256 of the package that a blob is by its name; "" where it is none of this
        app's."""
        found = _PACKAGE.fullmatch(blob.removeprefix(self.folder))
        return found[1] if found and blob.startswith(self.folder) else ""

    def marks(self, facts: Mapping[str, str]) -> bool:
        """Whether tags or metadata have the mark of this app."""
        return facts.get(MADE, "").lower() == self.app.lower()

    def is_ours(self, blob: str, metadata: Mapping[str, str]) -> bool:
        """Whether deploying this app made the blob: by its name, and by its mark."""
        return blob == self.lease or (bool(self.version(blob)) and self.marks(metadata))

    def package(self, sha256: str) -> str:
        """The blob of a package."""
        return f"{self.folder}{sha256}.zip"

    @property
    def folder(self) -> str:
        """What the names of this app's packages begin with."""
        return f"{self.app.lower()}/"


def app_plan(app: str) -> str:
    """The plan of an app."""
    return f"{app}-plan"


def container(app: str) -> str:
    """Where the platform keeps what is published to `app`; hyphens may not follow each other
    there."""
    plain = app.lower()
    single = re.sub("-{2,}", "-", plain)
    return f"onnxferry-app-{single}" + ("" if single == plain else f"-{_hash(plain, 6)}")


def description(app: str) -> str:
    """What the role assignments of an app's identity say of themselves, so that they are found when
    it is gone."""
    return f"{MADE}: {app}"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
