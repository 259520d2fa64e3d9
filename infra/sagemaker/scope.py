"""What every step at SageMaker is done with: the account and region, the settings, the names, the
clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.infra.clients.aws import Aws
from onnxferry.infra.config import SageMaker
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, VERSION_TAG, Names, bucket_name, tags
from onnxferry.infra.waiting import Clock, wait
from onnxferry.system.console import Progress


@dataclass(frozen=True)
class Scope:
    """One endpoint of one account in one region."""

    aws: Aws
    config: SageMaker
    names: Names
    clock: Clock

    @property
    def bucket(self) -> str:
        return self.config.bucket or bucket_name(self.aws.account, self.aws.region)

    @property
    def owner(self) -> dict[str, str]:
        """What makes S3 refuse when the bucket whose name anybody could guess is somebody
        else's."""
        return {} if self.config.bucket else {"ExpectedBucketOwner": self.aws.account}

    @property
    def prefix(self) -> str:
        """Below which the endpoint's packages are."""
        return f"{self.config.prefix}/{self.names.endpoint}/"

    def arn(
        self, service: str, resource: str, region: str | None = None, account: str | None = None
    ) -> str:
        """The ARN of a resource; `region` and `account` are this one's unless given."""
        where = self.aws.region if region is None else region
        who = self.aws.account if account is None else account
        return f"arn:{self.aws.partition}:{service}:{where}:{who}:{resource}"

    def tags(self, version: str = "", **more: str) -> list[dict[str, str]]:
        """The user's tags and ours."""
        own = {ENDPOINT_TAG: self.names.endpoint, **({VERSION_TAG: version} if version else {})}
        return tags({**self.config.tags, **own, **more})

    def wait(
        self,
        what: str,
        state: Callable[[], str | None],
        progress: Progress,
        limit: float | None = None,
    ) -> None:
        """Wait until `state` gives None, at most `limit` seconds (default: wait_minutes)."""
        wait(
            f"AWS {self.aws.region}, {what}",
            state,
            limit or self.config.wait_minutes * 60,
            progress,
            self.clock,
        )
