"""What can go wrong between this machine and a cloud, as one tree.

CloudError                where (cloud, region, resource), what the cloud said, what next; exit 1
├── NoCredentials         nobody is signed in, or the sign-in has expired
├── NotAllowed            signed in, but a permission is missing: the message names it
├── NotFound              no such region, workspace, resource group, bucket, endpoint ...
├── QuotaExceeded         the account may not have that much of it
├── NameTaken             somebody else has the name
├── Refused               the cloud calls the request itself wrong
├── BuildFailed           the image or the environment did not build; ends with the log's tail
├── PublishFailed         the package did not arrive, or the platform could not unpack it
├── NotHealthy            the new version did not become healthy; ends with the log's tail
├── WrongAnswer           it answers, but not with the golden answer; both are shown
├── InvokeFailed          no answer came: no connection, or a time-out
├── TimedOut              a wait reached its limit; the work may still go on in the cloud
└── Unavailable           throttled, 5xx or no network after all retries; run again
"""

from __future__ import annotations

from typing import TypeVar

from onnxferry.system.errors import FerryError

E = TypeVar("E", bound="CloudError")


class CloudError(FerryError):
    """A failure at a cloud. The message says where, what and what next, and shows no key, token or
    payload."""

    def with_log(self: E, log: str, lines: int = 30) -> E:
        """This very error with the last `lines` of `log` below its message."""
        tail = "\n".join(log.rstrip().splitlines()[-lines:])
        return self.with_context(f"The end of its log:\n{tail or '(empty)'}")


class NoCredentials(CloudError):
    pass


class NotAllowed(CloudError):
    pass


class NotFound(CloudError):
    pass


class QuotaExceeded(CloudError):
    pass


class NameTaken(CloudError):
    pass


class Refused(CloudError):
    pass


class BuildFailed(CloudError):
    pass


class PublishFailed(CloudError):
    pass


class NotHealthy(CloudError):
    pass


class WrongAnswer(CloudError):
    pass


class InvokeFailed(CloudError):
    pass


class TimedOut(CloudError):
    pass


class Unavailable(CloudError):
    pass
