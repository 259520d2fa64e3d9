"""What AWS's refusals mean, as tables: an error code, or words of its message, to one of our
errors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onnxferry.infra.errors import (
    CloudError,
    NameTaken,
    NoCredentials,
    NotAllowed,
    NotFound,
    PublishFailed,
    QuotaExceeded,
    Refused,
    Unavailable,
)

_CODES: Mapping[type[CloudError], str] = {
    NoCredentials: """ExpiredToken ExpiredTokenException RequestExpired InvalidClientTokenId
        InvalidAccessKeyId UnrecognizedClientException SignatureDoesNotMatch
        InvalidSignatureException AuthFailure MissingAuthenticationToken
        MissingAuthenticationTokenException InvalidToken""",
    NotAllowed: "AccessDenied AccessDeniedException UnauthorizedOperation 403",
    NotFound: """NoSuchBucket NoSuchKey NoSuchEntity NoSuchUpload NoSuchTagSet ResourceNotFound
        ResourceNotFoundException 404""",
    QuotaExceeded: """ResourceLimitExceeded LimitExceeded LimitExceededException
        ServiceQuotaExceededException TooManyBuckets""",
    NameTaken: "BucketAlreadyExists BucketAlreadyOwnedByYou EntityAlreadyExists ResourceInUse",
    Unavailable: """Throttling ThrottlingException ThrottledException TooManyRequestsException
        SlowDown RequestLimitExceeded RequestThrottled RequestThrottledException
        BandwidthLimitExceeded ModelNotReadyException OperationAborted ConcurrentModification
        RequestTimeout""",
    PublishFailed: "BadDigest IncompleteBody InvalidDigest XAmzContentChecksumMismatch",
}
CODES = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

_WORDS: Mapping[str, type[CloudError]] = {  # in a message, whatever its case
    r"already exist": NameTaken,
    r"could not find|not found|does not exist": NotFound,
    r"rate exceeded|throttl": Unavailable,
}
_ACTION = re.compile(r"perform:? '?([a-z0-9-]+:\w+)")
# HEAD has no body that could name the action, and some actions are not called as their operation
# is.
_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "DeleteObjects": "s3:DeleteObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
}

NEXT: Mapping[type[CloudError], str] = {
    NoCredentials: (
        "sign in (aws sso login, aws configure, or the AWS_ variables), name the profile with"
        " sagemaker.profile, and see with `aws sts get-caller-identity`; a region that the account"
        " has not enabled answers like this too"
    ),
    NotAllowed: "ask the account's owner for a policy that allows it, then run again",
    NotFound: (
        "check sagemaker.region, sagemaker.profile (which account) and the name; the command"
        " status shows what is there, deploy puts a model live"
    ),
    QuotaExceeded: (
        "ask for more in the console under Service Quotas, or choose another instance type, count"
        " or region"
    ),
    NameTaken: "choose another name: --name, or name in [model] of deploy.toml",
    PublishFailed: "run the same command again; the package is uploaded anew",
    Refused: "the message says which setting; correct it in [sagemaker] of deploy.toml",
    Unavailable: (
        "it stayed so through the SDK's retries; run the same command again, it goes on where it"
        " stopped"
    ),
}


def kind_of(code: str, message: str, status: int) -> type[CloudError]:
    """The error of a refusal: by its code, else by the words of its message, else by its HTTP
    status."""
    if code in CODES:
        return CODES[code]
    if status >= 500:
        return Unavailable
    found = next((kind for words, kind in _WORDS.items() if re.search(words, message, re.I)), None)
    return found or {403: NotAllowed, 404: NotFound, 429: Unavailable}.get(status, Refused)


def missing_action(message: str, service: str, operation: str) -> str:
    """The permission that a refusal names or, where it names none, the one that the operation
    needs."""
    found = _ACTION.search(message)
    return found[1] if found else _ACTIONS.get(operation, f"{service}:{operation}")


def refusal(where: str, kind: type[CloudError], said: str) -> CloudError:
    """The error with where, what the cloud said and what next."""
    return kind(f"{where}: {said}. What next: {NEXT.get(kind, 'see the message')}")
