"""The one user of boto3: sign in, call, upload, ask an endpoint, and translate its errors.

Sign-in is that of the AWS CLI: variables, profiles, SSO, instance and container roles.
AWS_ENDPOINT_URL leads all calls elsewhere, as it does for every AWS SDK. Retries are botocore's
standard mode: throttling, 5xx and broken connections, with jitter, a limit of attempts and a budget
for each client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions as broken
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from onnxferry.infra.clients.aws_errors import kind_of, missing_action, refusal
from onnxferry.infra.errors import (
    CloudError,
    InvokeFailed,
    NoCredentials,
    NotAllowed,
    NotFound,
    PublishFailed,
    Refused,
    Unavailable,
)
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.rehearse.golden_check import Reply
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

ATTEMPTS = 5
_UNSIGNED = (
    broken.NoCredentialsError,
    broken.PartialCredentialsError,
    broken.CredentialRetrievalError,
    broken.SSOError,
    broken.TokenRetrievalError,
    broken.LoginError,
    broken.NoAuthTokenError,
)
_NO_CONNECTION = (broken.HTTPClientError, broken.ConnectionError)


class AwsClients:
    """The clients of one account in one region, each made once. Nothing is sent before the first
    call. `part` is the size of an upload's parts in bytes; a smaller file goes as it is. `session`
    makes the session."""

    def __init__(
        self,
        profile: str | None,
        region: str | None,
        part: int = 8 << 20,
        session: Callable[..., boto3.Session] = boto3.Session,
    ) -> None:
        """Raises NoCredentials for an unknown profile, and UsageError when nothing says the
        region."""
        try:
            self.session = session(profile_name=profile, region_name=region)
        except broken.ProfileNotFound as e:
            raise NoCredentials(
                f"AWS: the configuration has no profile {profile!r}; `aws configure list-profiles`"
                " shows those that there are, sagemaker.profile in deploy.toml chooses one"
            ) from e
        if not self.session.region_name:
            raise UsageError(
                "no AWS region is set; set region in [sagemaker] of deploy.toml, --set"
                " region=eu-west-1, AWS_REGION or that of the profile"
            )
        self.region: str = self.session.region_name
        self._clients: dict[str, Any] = {}
        self._part = part

    @cached_property
    def _caller(self) -> Mapping[str, str]:
        where = "the account that is signed in"
        return dict(self.call("sts", "get_caller_identity", where, {}))

    @property
    def account(self) -> str:
        """The account's number."""
        return self._caller["Account"]

    @property
    def partition(self) -> str:
        """ "aws", or "aws-cn", "aws-us-gov" ..."""
        return self._caller["Arn"].split(":")[1]

    def call(
        self, service: str, operation: str, resource: str, parameters: Mapping[str, Any]
    ) -> Any:
        """The operation's answer. Raises CloudError that names `resource`."""
        with self._translated(service, resource):
            return getattr(self._client(service), operation)(**parameters)

    def pages(
        self, service: str, operation: str, key: str, resource: str, parameters: Mapping[str, Any]
    ) -> list[Any]:
        """All items below `key` of all pages of an operation that lists."""
        with self._translated(service, resource):
            pages = self._client(service).get_paginator(operation).paginate(**parameters)
            return [item for page in pages for item in page.get(key, ())]

    def upload(
        self,
        path: Path,
        url: tuple[str, str],
        options: Mapping[str, str],
        sent: Callable[[int], None],
    ) -> None:
        """`path` to the bucket and key of `url`, in parts where it is large; S3 checks the sha256
        of each.

        `sent` is told the bytes of each piece, by several threads.
        """
        bucket, key = url
        client = self._client("s3")
        extra = {"ChecksumAlgorithm": "SHA256", **options}
        sizes = {"multipart_threshold": self._part, "multipart_chunksize": self._part}
        parts = TransferConfig(max_concurrency=4, **sizes)
        with self._translated("s3", f"s3://{bucket}/{key}"):
            client.upload_file(str(path), bucket, key, ExtraArgs=extra, Callback=sent, Config=parts)

    def checksum(self, path: Path) -> str:
        """What S3 says is the sha256 of `path` as `upload` sends it: of the bytes, or of its parts'
        own; without the number of parts, which S3 adds after a hyphen."""
        with path.open("rb") as file:
            parts = [hashlib.sha256(p).digest() for p in iter(lambda: file.read(self._part), b"")]
        if path.stat().st_size >= self._part:
            parts = [hashlib.sha256(b"".join(parts)).digest()]
        return base64.b64encode(parts[0] if parts else hashlib.sha256().digest()).decode()

    def url_of(self, name: str) -> str:
        """Where a client POSTs to the endpoint `name`."""
        return f"{self._client('sagemaker-runtime').meta.endpoint_url}/endpoints/{name}/invocations"

    def invoke(self, name: str, request: Request, timeout: float) -> Reply:
        """The endpoint's answer; the container's own refusal is one with its status. `timeout` is
        for one attempt, in seconds, and a time-out is not tried again."""
        client = self._make("sagemaker-runtime", read_timeout=timeout)
        client.meta.events.register_first("needs-retry.sagemaker-runtime.InvokeEndpoint", _once)
        began = time.perf_counter()
        with self._translated("sagemaker", f"endpoint {name}"):
            try:
                answer = client.invoke_endpoint(
                    EndpointName=name,
                    Body=request.body,
                    ContentType=request.content_type,
                    Accept=request.accept,
                )
                body = answer["Body"].read()
            except client.exceptions.ModelError as e:
                return _of_model(e, time.perf_counter() - began)
            except broken.ReadTimeoutError as e:
                raise InvokeFailed(
                    f"AWS {self.region}, endpoint {name}: no answer within {timeout:g} s; SageMaker"
                    " itself ends a request after 60 s. Send fewer items, look at"
                    f" {program('logs')}, or raise --timeout"
                ) from e
        seconds, by = time.perf_counter() - began, answer.get("InvokedProductionVariant", "")
        return Reply(200, body, answer.get("ContentType", ""), seconds, by)

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _make(self, service: str, read_timeout: float = 60) -> Any:
        retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        limits = {"connect_timeout": 10, "read_timeout": read_timeout}
        config = Config(retries=retries, user_agent_extra="onnxferry", **limits)
        with self._translated(service, service):
            return self.session.client(service, config=config)

    @contextmanager
    def _translated(self, service: str, resource: str) -> Iterator[None]:
        where = f"AWS {self.region}, {resource}"
        try:
            yield
        except S3UploadFailedError as e:
            cause = e.__context__
            if isinstance(cause, broken.ClientError):
                raise _of_response(where, service, cause) from e
            said = f"{where}: the upload failed: {e}; run the same command again"
            raise PublishFailed(said) from e
        except broken.ClientError as e:
            raise _of_response(where, service, e) from e
        except _UNSIGNED as e:
            said = f"nobody is signed in, or the sign-in has expired ({e})"
            raise refusal(where, NoCredentials, said) from e
        except broken.ParamValidationError as e:
            raise refusal(where, Refused, str(e).replace("\n", " ")) from e
        except _NO_CONNECTION as e:
            raise self._unreachable(where, service, e) from e
        except broken.BotoCoreError as e:
            raise CloudError(f"{where}: {e}") from e

    def _unreachable(self, where: str, service: str, e: Exception) -> CloudError:
        known = self._regions("sagemaker")
        if isinstance(e, broken.EndpointConnectionError) and self.region not in known:
            return NotFound(
                f"{where}: no region {self.region} is known to have SageMaker; set sagemaker.region"
                f" to one of {', '.join(known)}"
            )
        return refusal(where, Unavailable, f"no connection to {service} ({type(e).__name__}: {e})")

    def _regions(self, service: str) -> list[str]:
        partitions = self.session.get_available_partitions()
        return sorted(
            region for p in partitions for region in self.session.get_available_regions(service, p)
        )


def _once(caught_exception: Exception | None = None, **_: Any) -> None:
    """Before botocore decides on another attempt: a time-out is the answer that the caller asked
    for."""
    if isinstance(caught_exception, broken.ReadTimeoutError):
        raise caught_exception


def _of_model(e: Any, seconds: float) -> Reply:
    """What the container answered, from the ModelError that SageMaker wraps it into."""
    body = str(e.response.get("OriginalMessage", "")).encode("utf-8")
    status = int(e.response.get("OriginalStatusCode") or 424)
    try:
        json.loads(body)
    except ValueError:
        return Reply(status, body, "text/plain", seconds)
    return Reply(status, body, JSON, seconds)


def _of_response(where: str, service: str, e: Any) -> CloudError:
    error = e.response.get("Error", {})
    code = str(error.get("Code", ""))
    message = " ".join(str(error.get("Message", "")).split()).rstrip(".")[:800]
    status = int(e.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind = kind_of(code, message, status)
    said = f"{code}: {message}" if message else code
    if kind is NotAllowed:
        action = missing_action(message, service, e.operation_name)
        said = f"the permission {action} is missing. {said}"
    return refusal(where, kind, said)
