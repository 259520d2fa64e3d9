"""Names and tags of an endpoint's resources. A model and a configuration are named by their
content: ENDPOINT-VERSION-DIGEST."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from onnxferry.infra.target_tables import SageMaker

ENDPOINT_TAG = "onnxferry:endpoint"
VERSION_TAG = "onnxferry:version"
DEPLOYED_TAG = "onnxferry:deployed"  # ISO 8601, UTC
HISTORY_TAG = "onnxferry:previous"  # configurations that served, newest first
KEYS_TAG = "onnxferry:tags"  # which other tags are ours to change: see `keys_of`
BUCKET_TAG = "onnxferry:bucket"  # of the account and region that a bucket is made for
TEMPLATE_TAG = "onnxferry:template"  # whose template made it: "cloudformation STACK", "terraform"
STACK_TAG = "onnxferry:stack"  # of the endpoint that a stack is deployed for, by the kit
READY_TAG = "onnxferry:ready"  # set last on a bucket that is made


@dataclass(frozen=True)
class Names:
    """Of what belongs to `endpoint` in one account and region. `now` is the time of the run, which
    is in the tags of what it makes, and in no name."""

    endpoint: str
    region: str
    account: str
    partition: str
    settings: SageMaker
    now: str = ""
    package_digits: ClassVar[int] = 64  # of the hash that a package's folder is named by
    archives_marked: ClassVar[bool] = True  # else the mark of the golden.json beside one counts

    @property
    def made(self) -> str:
        """What the tag ENDPOINT_TAG says on what is this endpoint's."""
        return self.endpoint

    @property
    def candidate(self) -> str:
        """The endpoint on which a new version proves itself."""
        return f"{self.endpoint}-candidate"

    @property
    def role(self) -> str:
        """The role that is made. Roles are the account's, not the region's."""
        return f"onnxferry-{self.endpoint}-{self.region}"

    @property
    def role_arn(self) -> str:
        """Of the given role, or of the one that is made."""
        return self.settings.role or self.arn("iam", f"role/{self.role}", region="")

    @property
    def bucket(self) -> str:
        """The given bucket for packages, or the account's in the region."""
        return self.settings.bucket or f"onnxferry-{self.account}-{self.region}"

    @property
    def owner(self) -> dict[str, str]:
        """Makes S3 refuse a bucket of the default name that is somebody else's."""
        return {} if self.settings.bucket else {"ExpectedBucketOwner": self.account}

    def at(self, bucket: str) -> dict[str, str]:
        """What goes with every request to `bucket`."""
        return {"Bucket": bucket, **(self.owner if bucket == self.bucket else {})}

    @property
    def prefix(self) -> str:
        """Of all keys of endpoints of this name, other accounts' and regions' too."""
        return f"{self.settings.prefix}/{self.endpoint}/"

    @property
    def folder(self) -> str:
        """Of the keys that are this endpoint's."""
        return f"{self.prefix}{self.account}-{self.region}/"

    @property
    def package_folders(self) -> tuple[str, ...]:
        """What the keys of packages begin with, before their hash."""
        return (self.folder,)

    @property
    def package_place(self) -> str:
        """A pattern of those, wherever a package was put."""
        return rf"(?:.+/)?{self.endpoint}/{self.account}-{self.region}/"

    @property
    def lease_key(self) -> str:
        """Of the lease on the endpoint."""
        return f"{self.folder}lease.json"

    @property
    def place(self) -> str:
        """Account and region, for people."""
        return f"AWS account {self.account}, region {self.region}"

    def of(self, version: str, content: Any) -> str:
        """The name of a model or configuration of `version` with this JSON data."""
        return f"{self.endpoint}-{version}-{digest(content)}"

    def version_of(self, name: str) -> str:
        """See the function."""
        return version_of(self.endpoint, name)

    def package_of(self, name: str) -> str:
        """What the hash of the package begins with that a model or a configuration needs."""
        return self.version_of(name)

    def arn(self, service: str, resource: str, **other: str) -> str:
        """The ARN of a resource; `other` are "region" and "account" where they are not these."""
        place = {"region": self.region, "account": self.account, **other}
        return f"arn:{self.partition}:{service}:{place['region']}:{place['account']}:{resource}"

    def mark(self, version: str = "", deployed: str = "") -> dict[str, str]:
        """The metadata that each object of ours carries; without `version` and `deployed`, which
        differ, what proves it ours."""
        place = {"endpoint": self.endpoint, "account": self.account, "region": self.region}
        said = {**place, "version": version, "deployed": deployed}
        return {f"onnxferry-{key}": value for key, value in said.items() if value}

    def tags(self, version: str = "", history: Sequence[str] = ()) -> list[dict[str, str]]:
        """The user's tags and ours, as AWS writes them."""
        given = self.settings.tags
        own = {VERSION_TAG: version, DEPLOYED_TAG: self.now, HISTORY_TAG: " ".join(history)}
        said = {key: value for key, value in {**own, KEYS_TAG: keys_of(given)}.items() if value}
        return tags({**given, ENDPOINT_TAG: self.made, **said})


def stack_name(endpoint: str) -> str:
    """Of the stack that the kit deploys for an endpoint."""
    return f"onnxferry-{endpoint}"


def own_template(endpoint: str) -> str:
    """What the tag TEMPLATE_TAG says on what that stack has made."""
    return f"cloudformation {stack_name(endpoint)}"


def version_of(endpoint: str, name: str) -> str:
    """The version in a name that `Names.of` made; "" for another."""
    found = re.fullmatch(rf"{re.escape(endpoint)}-([0-9a-f]{{12}})-[0-9a-f]{{8}}", name)
    return found[1] if found else ""


def keys_of(given: Iterable[str]) -> str:
    """The keys of the user's tags that we set, as one tag's value of at most 256 characters: 5
    hexadecimal digits for each of at most 45."""
    return "".join(sorted(key_digits(key) for key in given))


def key_digits(key: str) -> str:
    """5 hexadecimal digits that stand for a tag's key."""
    return hashlib.sha256(key.encode()).hexdigest()[:5]


def log_group(endpoint: str) -> str:
    """The log group that SageMaker makes for an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def digest(content: Any) -> str:
    """8 hexadecimal digits that name JSON data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def tags(values: dict[str, str]) -> list[dict[str, str]]:
    """Tags as AWS writes them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]


def values_of(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Tags as AWS writes them, by key."""
    return {tag["Key"]: tag["Value"] for tag in tags}
