"""What can go wrong between this machine and a cloud, all CloudErrors."""

from __future__ import annotations

from typing import TypeVar

from onnxferry.system.errors import FerryError

E = TypeVar("E", bound="CloudError")


class CloudError(FerryError):
    """The message says where (cloud, region, resource), what the cloud said and what next, and
    shows no key, token or payload."""

    def with_log(self: E, log: str, lines: int = 30) -> E:
        """This error with the last `lines` of `log` below its message."""
        tail = "\n".join(log.rstrip().splitlines()[-lines:])
        return self.with_context(f"The end of its log:\n{tail or '(empty)'}")


class NoCredentials(CloudError):
    """Nobody is signed in, or the sign-in has expired."""


class NotAllowed(CloudError):
    """Signed in, but a permission is missing: the message names it, and `permission`, if known."""

    permission = ""


class NotFound(CloudError):
    """No such region, workspace, resource group, bucket, endpoint ..."""


class QuotaExceeded(CloudError):
    """The account may not have that much of it."""


class NameTaken(CloudError):
    """Somebody else has the name."""


class Refused(CloudError):
    """The cloud calls the request itself wrong."""


class BuildFailed(CloudError):
    """The image or the environment did not build; ends with the log's tail."""


class PublishFailed(CloudError):
    """The package did not arrive, or the platform could not unpack it."""


class NotHealthy(CloudError):
    """The new version did not become healthy; ends with the log's tail."""


class WrongAnswer(CloudError):
    """It answers, but not with the golden answer; both are shown."""


class InvokeFailed(CloudError):
    """No answer came: no connection, or a time-out."""


class TimedOut(CloudError):
    """A wait reached its limit; the work may still go on in the cloud."""


class Unavailable(CloudError):
    """Throttled, 5xx or no network after all retries; run again."""


class LeaseHeld(CloudError):
    """Another run works at the same endpoint: the message says whose, and since when."""


class LeaseLost(CloudError):
    """Another run has taken this one's lease: nothing more is changed, nor put back."""


class BatchFailed(CloudError):
    """A batch job has ended, and files have no answer."""


class StillRunning(CloudError):
    """Ctrl-C while a batch job is followed: it goes on."""

    exit_code = 130
