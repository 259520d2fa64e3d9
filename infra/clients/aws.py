"""The one user of boto3: sign in, call, upload, ask an endpoint, and translate its errors.

It signs in as the AWS CLI does. AWS_ENDPOINT_URL leads all calls elsewhere. Retries are botocore's
standard mode.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import boto3
import botocore.exceptions as broken
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from onnxferry.infra import errors
from onnxferry.infra.clients import connections
from onnxferry.infra.clients.aws_errors import expired_next, has_expired, of_response, refusal
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

T = TypeVar("T")

_ATTEMPTS = 5
_UNSIGNED = (
    broken.NoCredentialsError,
    broken.PartialCredentialsError,
    broken.CredentialRetrievalError,
    broken.SSOError,
    broken.TokenRetrievalError,
    broken.LoginError,
    broken.NoAuthTokenError,
)


class AwsClients:
    """The clients of one account in one region. `part` is the size of an upload's parts in bytes;
    a smaller file goes as it is."""

    def __init__(
        self,
        profile: str | None,
        region: str | None,
        part: int = 8 << 20,
        session: Callable[..., boto3.Session] = boto3.Session,
    ) -> None:
        """Sends nothing. Raises NoCredentials for an unknown profile, UsageError without region."""
        with _profile_named(profile):
            self.session = session(profile_name=profile, region_name=region)
            found = self.session.region_name
        if not found:
            raise UsageError(
                "no AWS region is set; set region in [sagemaker] of deploy.toml, --set"
                " region=eu-west-1, AWS_REGION or that of the profile"
            )
        self.region: str = found
        self.notes: dict[str, None] = {}  # what is not known for want of a permission, in order
        self._clients: dict[str, Any] = {}
        self._part, self._profile = part, profile

    @cached_property
    def _caller(self) -> Mapping[str, str]:
        return dict(self.call("sts", "get_caller_identity", "the account that is signed in"))

    @property
    def account(self) -> str:
        """The account's number."""
        return self._caller["Account"]

    @property
    def partition(self) -> str:
        """ "aws", or "aws-cn", "aws-us-gov" ..."""
        return self._caller["Arn"].split(":")[1]

    @property
    def partition_of_region(self) -> str:
        """The same by the region alone, which asks nobody."""
        return str(self.session.get_partition_for_region(self.region))

    def call(self, service: str, operation: str, resource: str, /, **parameters: Any) -> Any:
        """The operation's answer. Raises CloudError that names `resource`."""
        with self.translated(service, resource):
            return getattr(self._client(service), operation)(**parameters)

    def call_if_there(self, service: str, operation: str, where: str, /, **parameters: Any) -> Any:
        """As `call`, but None where AWS does not find what it is about."""
        try:
            return self.call(service, operation, where, **parameters)
        except errors.NotFound:
            return None

    def read_object(self, where: str, /, **parameters: Any) -> dict[str, Any]:
        """GetObject's answer, with the object's bytes as `Body`."""
        with self.translated("s3", where):
            answer = self._client("s3").get_object(**parameters)
            return {**answer, "Body": answer["Body"].read()}

    def if_allowed(self, ask: Callable[[], T], without: str) -> T | None:
        """What `ask` returns. None where a permission is missing for it: then `notes` get the line
        `without`, which says what is not known or not done."""
        try:
            return ask()
        except errors.NotAllowed as e:
            self.notes[f"{without}: {e.permission or 'a permission'} is missing"] = None
            return None

    def pages(
        self, service: str, operation: str, keys: str, resource: str, /, **parameters: Any
    ) -> list[Any]:
        """All items below `keys` (words) of all pages of an operation that lists."""
        with self.translated(service, resource):
            pages = self._client(service).get_paginator(operation).paginate(**parameters)
            return [item for page in pages for key in keys.split() for item in page.get(key, ())]

    def upload(
        self, path: Path, bucket: str, key: str, sent: Callable[[int], None], **options: Any
    ) -> None:
        """Upload; S3 checks the sha256. Several threads tell `sent` the bytes of each piece."""
        extra = {"ChecksumAlgorithm": "SHA256", **options}
        sizes = {"multipart_threshold": self._part, "multipart_chunksize": self._part}
        parts = TransferConfig(max_concurrency=4, **sizes)
        with self.translated("s3", f"s3://{bucket}/{key}"):
            send = self._client("s3").upload_file
            send(str(path), bucket, key, ExtraArgs=extra, Callback=sent, Config=parts)

    def checksum(self, path: Path) -> str:
        """The sha256 that S3 keeps for `path`: of its bytes, or of its parts' hashes (without the
        number of parts, which S3 adds after a hyphen)."""
        with path.open("rb") as file:
            parts = [hashlib.sha256(p).digest() for p in iter(lambda: file.read(self._part), b"")]
        if path.stat().st_size >= self._part:
            parts = [hashlib.sha256(b"".join(parts)).digest()]
        return base64.b64encode(parts[0] if parts else hashlib.sha256().digest()).decode()

    def url_of(self, name: str) -> str:
        """Where a client POSTs to the endpoint `name`."""
        return f"{self._client('sagemaker-runtime').meta.endpoint_url}/endpoints/{name}/invocations"

    def invoke(self, name: str, request: Request, timeout: float) -> Reply:
        """The endpoint's answer, or the container's own refusal. Not tried again after `timeout`
        (seconds)."""
        client = self._make("sagemaker-runtime", read_timeout=timeout)
        client.meta.events.register_first("needs-retry.sagemaker-runtime.InvokeEndpoint", _once)
        asked = {"Body": request.body, "ContentType": request.content_type}
        began = time.perf_counter()
        with self.translated("sagemaker", f"endpoint {name}"):
            try:
                answer = client.invoke_endpoint(EndpointName=name, Accept=request.accept, **asked)
                body = answer["Body"].read()
            except client.exceptions.ModelError as e:
                return _of_model(e, time.perf_counter() - began)
            except broken.ReadTimeoutError as e:
                raise errors.InvokeFailed(
                    f"AWS {self.region}, endpoint {name}: no answer within {timeout:g} s; SageMaker"
                    " itself ends a request after 60 s. Send fewer items, look at"
                    f" {program('logs')}, or raise --timeout"
                ) from e
        seconds, by = time.perf_counter() - began, answer.get("InvokedProductionVariant", "")
        return Reply(200, body, answer.get("ContentType", ""), seconds, by)

    def invoke_async(
        self, name: str, source: str, request: Request, timeout: float, **named: str
    ) -> dict[str, Any]:
        """Where the answer to the request at `source` (s3://...) will be, and what is said of a
        failure; given up after `timeout` seconds of work. `named` may have an InferenceId."""
        kinds = {"ContentType": request.content_type or JSON, "Accept": request.accept}
        most = {"InvocationTimeoutSeconds": max(1, min(3600, round(timeout)))}
        asked = {"EndpointName": name, "InputLocation": source, **kinds, **most}
        ask = ("sagemaker-runtime", "invoke_endpoint_async", f"endpoint {name}")
        return dict(self.call(*ask, **asked, **named))

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Let a library that makes sessions of its own sign in as these clients do."""
        before, profile = boto3.DEFAULT_SESSION, os.environ.get("AWS_PROFILE")
        named = {"AWS_PROFILE": self._profile} if self._profile else {}
        boto3.DEFAULT_SESSION = self.session
        os.environ |= named
        try:
            yield
        finally:
            boto3.DEFAULT_SESSION = before
            os.environ |= {"AWS_PROFILE": profile} if named and profile else {}
            if named and not profile:
                del os.environ["AWS_PROFILE"]

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _make(self, service: str, read_timeout: float = 60) -> Any:
        retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
        limits = {"connect_timeout": 10, "read_timeout": read_timeout}
        config = Config(retries=retries, user_agent_extra="onnxferry", **limits)
        with self.translated(service, service):
            return self.session.client(service, config=config, verify=_certificates())

    @contextmanager
    def translated(self, service: str, resource: str) -> Iterator[None]:
        """Translate the errors of `service`, asked about `resource`, to CloudErrors."""
        where = f"AWS {self.region}, {resource}"
        try:
            yield
        except S3UploadFailedError as e:  # boto3 raises it while it handles a ClientError
            raise self._refused(where, service, e.__context__) from e
        except broken.ClientError as e:
            raise self._refused(where, service, e) from e
        except _UNSIGNED as e:
            raise self._unsigned(where, e) from e
        except broken.ParamValidationError as e:
            raise refusal(where, errors.Refused, str(e).replace("\n", " ")) from e
        except (broken.HTTPClientError, broken.ConnectionError) as e:
            raise self._unreachable(where, service, e) from e
        except broken.BotoCoreError as e:
            raise errors.CloudError(f"{where}: {e}") from e

    def _refused(self, where: str, service: str, e: Any) -> errors.CloudError:
        if said := has_expired(e):
            return refusal(where, errors.NoCredentials, said, self._renewal())
        return of_response(where, service, e)

    def _unsigned(self, where: str, e: Exception) -> errors.CloudError:
        if isinstance(e, broken.NoCredentialsError):
            return refusal(where, errors.NoCredentials, "nobody is signed in")
        said = f"the sign-in cannot be used ({str(e).rstrip('.')})"
        return refusal(where, errors.NoCredentials, said, self._renewal())

    def _renewal(self) -> str:
        """What to do about a sign-in that has expired, by what kind it is."""
        try:
            found = self.session.get_credentials()
        except broken.BotoCoreError:
            found = None
        profile = self.session.profile_name
        return expired_next(found.method if found else "", "" if profile == "default" else profile)

    def _unreachable(self, where: str, service: str, e: Exception) -> errors.CloudError:
        regions, partitions = (
            self.session.get_available_regions,
            self.session.get_available_partitions,
        )
        known = sorted(region for p in partitions() for region in regions("sagemaker", p))
        if isinstance(e, broken.EndpointConnectionError) and self.region not in known:
            return errors.NotFound(
                f"{where}: no region {self.region} is known to have SageMaker; set sagemaker.region"
                f" to one of {', '.join(known)}"
            )
        said = f"no connection to {service} ({e}): {connections.broken(e)}"
        return refusal(where, errors.Unavailable, said)


@contextmanager
def _profile_named(profile: str | None) -> Iterator[None]:
    """Whose choice a profile is that does not exist."""
    try:
        yield
    except broken.ProfileNotFound as e:
        name = e.kwargs.get("profile", profile)
        by = "sagemaker.profile in deploy.toml" if profile else "the variable AWS_PROFILE"
        raise errors.NoCredentials(
            f"AWS: there is no profile {name!r}, which {by} names; `aws configure list-profiles`"
            " shows those that there are"
        ) from e


def _certificates() -> str | None:
    """Whose certificates to trust, where not the AWS configuration says so (AWS_CA_BUNDLE, or
    ca_bundle of a profile, and else botocore's own)."""
    named = any(os.environ.get(name) for name in connections.BUNDLES)
    return connections.certificates() if named and not os.environ.get("AWS_CA_BUNDLE") else None


def _once(caught_exception: Exception | None = None, **_: Any) -> None:
    """No further attempt after a time-out."""
    if isinstance(caught_exception, broken.ReadTimeoutError):
        raise caught_exception


def _of_model(e: Any, seconds: float) -> Reply:
    """What the container answered, from a ModelError."""
    body = str(e.response.get("OriginalMessage", "")).encode("utf-8")
    status = int(e.response.get("OriginalStatusCode") or 424)
    try:
        json.loads(body)
    except ValueError:
        return Reply(status, body, "text/plain", seconds)
    return Reply(status, body, JSON, seconds)
