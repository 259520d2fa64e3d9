"""Which of our errors a refusal by AWS is, by its code or its words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from onnxferry.infra.errors import (
    CloudError,
    E,
    NameTaken,
    NoCredentials,
    NotAllowed,
    NotFound,
    PublishFailed,
    QuotaExceeded,
    Refused,
    Unavailable,
)

_CODES: Mapping[type[CloudError], str] = {  # without "Exception", by which some services end them
    NoCredentials: """ExpiredToken RequestExpired InvalidClientTokenId InvalidAccessKeyId
        UnrecognizedClient SignatureDoesNotMatch InvalidSignature AuthFailure
        MissingAuthenticationToken InvalidToken""",
    NotAllowed: "AccessDenied UnauthorizedOperation 403",
    NotFound: """NoSuchBucket NoSuchKey NoSuchEntity NoSuchUpload NoSuchTagSet
        ServerSideEncryptionConfigurationNotFoundError ResourceNotFound ObjectNotFound 404""",
    QuotaExceeded: "ResourceLimitExceeded LimitExceeded ServiceQuotaExceeded TooManyBuckets",
    NameTaken: """BucketAlreadyExists BucketAlreadyOwnedByYou EntityAlreadyExists ResourceInUse
        PreconditionFailed ConditionalRequestConflict""",
    Unavailable: """Throttling Throttled TooManyRequests SlowDown RequestLimitExceeded
        RequestThrottled BandwidthLimitExceeded ModelNotReady OperationAborted
        ConcurrentModification ConcurrentUpdate RequestTimeout""",
    PublishFailed: "BadDigest IncompleteBody InvalidDigest XAmzContentChecksumMismatch",
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

_WORDS: Mapping[str, type[CloudError]] = {  # in a message, whatever its case
    r"already exist": NameTaken,
    r"could not find|not found|does not exist": NotFound,
    r"rate exceeded|throttl": Unavailable,
}
_SKEWED = re.compile(r"signature expired|not yet current", re.I)
_SET_CLOCK = (
    "set the clock (timedatectl set-ntp true; macOS and Windows: date and time, automatically;"
    " WSL: wsl --shutdown), then run the same command again"
)
_ACTION = re.compile(r"perform:? '?([a-z0-9-]+:\w+)")
# where the refusal does not name the action, and it is not called as the operation is
_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "ListServiceQuotas": "servicequotas:ListServiceQuotas",
}

_NEXT: Mapping[type[CloudError], str] = {
    NoCredentials: "sign in (aws sso login, aws configure, the AWS_ variables) or set"
    " sagemaker.profile, and see with `aws sts get-caller-identity`; a region that is not enabled"
    " answers like this too",
    NotAllowed: "ask the account's owner for a policy that allows it, then run again",
    NotFound: "check the name, sagemaker.region and sagemaker.profile; the command status shows"
    " what is there, deploy puts a model live",
    QuotaExceeded: "ask for more in the console under Service Quotas, or choose another instance"
    " type, count or region",
    NameTaken: "choose another name: --name, or name in [model] of deploy.toml",
    PublishFailed: "run the same command again; the package is uploaded anew",
    Refused: "the message says which setting; correct it in [sagemaker] of deploy.toml",
    Unavailable: "run the same command again, it goes on where it stopped",
}


def of_response(where: str, service: str, e: Any) -> CloudError:
    """The error for botocore's ClientError `e`."""
    error = e.response.get("Error", {})
    code = str(error.get("Code", ""))
    message = " ".join(str(error.get("Message", "")).split()).rstrip(".")[:800]
    status = int(e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if wrong := _clock(e, code, message):
        return refusal(where, Refused, f"{wrong} ({code})", _SET_CLOCK)
    kind = _kind_of(code, message, status)
    said = f"{code}: {message}" if message else code
    if kind is NotAllowed:
        found = _ACTION.search(message)
        default = _ACTIONS.get(e.operation_name, f"{service}:{e.operation_name}")
        permission = found[1] if found else default
        refused = refusal(where, kind, f"the permission {permission} is missing. {said}")
        refused.permission = permission
        return refused
    return refusal(where, kind, said)


def _kind_of(code: str, message: str, status: int) -> type[CloudError]:
    if known := _KINDS.get(code.removesuffix("Exception")):
        return known
    if status >= 500:
        return Unavailable
    found = next((kind for words, kind in _WORDS.items() if re.search(words, message, re.I)), None)
    return found or {403: NotAllowed, 404: NotFound, 429: Unavailable}.get(status, Refused)


def refusal(where: str, kind: type[E], said: str, then: str = "") -> E:
    """The error with where, what the cloud said and what next."""
    return kind(f"{where}: {said}. What next: {then or _NEXT[kind]}")


def has_expired(e: Any) -> str:
    """What to say where botocore's ClientError `e` means that the sign-in has expired; else ""."""
    code = str(e.response.get("Error", {}).get("Code", "")).removesuffix("Exception")
    return f"the sign-in has expired ({code})" if code in ("ExpiredToken", "RequestExpired") else ""


def expired_next(method: str, profile: str) -> str:
    """How to renew a sign-in of botocore's `method`, that of `profile` if not ""."""
    named = f" --profile {profile}" if profile else ""
    commands = {
        "sso": f"run `aws sso login{named}`",
        "login": f"run `aws login{named}`",
        "env": "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew",
    }
    renew = commands.get(method, f"sign in again as before (`aws sso login{named}`, new keys, ...)")
    return f"{renew}, then run the same command again"


def _clock(e: Any, code: str, message: str) -> str:
    """By how much this machine's clock is wrong, where that is what AWS refuses; else ""."""
    skewed = code == "RequestTimeTooSkewed" or _SKEWED.search(message)
    date = e.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not skewed or not date:
        return "this machine's clock is wrong" if skewed else ""
    there, here = parsedate_to_datetime(date), datetime.now(timezone.utc)
    minutes = (here - there).total_seconds() / 60
    by = f"{abs(minutes):.0f} minutes {'fast' if minutes > 0 else 'slow'}"
    return f"this machine's clock is {by}: it says {here:%H:%M} UTC, and AWS {there:%H:%M}"
