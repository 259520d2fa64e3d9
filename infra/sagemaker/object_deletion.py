"""How objects that are proved to be ours are deleted, with what S3 keeps of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotAllowed
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.packages import Key, proved
from onnxferry.system.console import Progress

_AT_ONCE = 1000  # keys that S3 deletes by one request


@dataclass(frozen=True)
class ObjectDeletion:
    """From `bucket`; `where` is for messages."""

    clients: AwsClients
    names: Names
    bucket: str
    where: str
    progress: Progress

    def delete(self, keys: Sequence[Key]) -> None:
        """Delete these versions. An object without version may leave a marker, where the bucket
        keeps versions since a later time: both go. Where versions may not be deleted, the objects
        are hidden. Raises NotAllowed for the first that stays."""
        deleted, errors = self._sent(keys)
        hidden = [each for each in deleted if each.get("DeleteMarker") and "VersionId" not in each]
        markers = [(each["Key"], each["DeleteMarkerVersionId"]) for each in hidden]
        _, left = self._sent([*((key, "null") for key, _ in markers), *markers])
        versions = {error["Key"] for error in errors if _is_version(error)}
        if versions:
            ours = proved(self.clients, self.names, self.bucket, [(key, "") for key in versions])
            errors = [e for e in errors if e["Key"] not in versions] + self._sent([*ours])[1]
        if versions or left:
            self.progress("older versions stay: s3:DeleteObjectVersion is missing")
        for error in errors:
            key, code, message = (error.get(name) for name in ("Key", "Code", "Message"))
            raise NotAllowed(
                f"AWS {self.names.region}, {self.where}: {key} is not deleted (s3:DeleteObject):"
                f" {code}: {message}"
            )

    def _sent(self, keys: Sequence[Key]) -> tuple[list[Any], list[Any]]:
        """What S3 says that it deleted, and the errors."""
        deleted: list[Any] = []
        errors: list[Any] = []
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            objects = [{"Key": k, **({"VersionId": v} if v else {})} for k, v in part]
            what = {**self.names.at(self.bucket), "Delete": {"Objects": objects}}
            answer = self.clients.call("s3", "delete_objects", self.where, **what)
            deleted += answer.get("Deleted", ())
            errors += answer.get("Errors", ())
        return deleted, errors


def _is_version(error: Mapping[str, str]) -> bool:
    return "VersionId" in error and error.get("Code") == "AccessDenied"
