"""The table of SageMaker, and the tables in it: how an endpoint serves, is updated, is scaled, and
who reaches it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Discriminator, Field, StringConstraints, Tag

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging
from onnxferry.infra.target_tables.rollout import SageMakerRollout
from onnxferry.infra.target_tables.scaling import Scaling
from onnxferry.infra.target_tables.table import PricedTable, Table

_KEY = (
    r"^(arn:aws[\w-]*:kms:[\w-]+:\d{12}:(key|alias)/[\w/-]+|alias/[\w/-]+"
    r"|(mrk-)?[0-9a-fA-F][0-9a-fA-F-]{31,35})$"
)
Folder = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.*$")]
VariantName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")
]
Subnet = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroup = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]{8,17}$")]
Topic = Annotated[str, StringConstraints(pattern=r"^arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w.-]+$")]


# with a d after the generation (m5d, c6gd, g4dn, r5dn), and families that have none without
_OWN_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g[56]e?|i\d\w*|p5\w*|trn\w+)\.")


class _Instances(Table):
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.")
    """Instance type."""
    instance_count: int = Field(1, ge=1, le=100)
    """Number of instances."""


class ProductionVariant(_Instances):
    """One more production variant of the endpoint, of the same version on other instances."""

    weight: float = Field(1.0, gt=0, le=100)
    """Its part of the requests; that of the first variant is 1."""


class RealTime(_Instances):
    """Answers at once, on instances that always run."""

    mode: Literal["realtime"] = "realtime"
    """Real-time inference."""
    variants: dict[VariantName, ProductionVariant] = Field({})
    """Further production variants by name, each with instance_type, instance_count and weight."""


class Serverless(Table):
    """Answers at once, without instances: nothing runs, and nothing is paid, while nobody asks."""

    mode: Literal["serverless"]
    """Serverless Inference."""
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    """Memory of one container in MB; its share of a CPU grows with it."""
    max_concurrency: int = Field(20, ge=1, le=200)
    """Most requests at a time."""
    provisioned_concurrency: int = Field(0, ge=0, le=200)
    """Containers that are kept ready, billed by the hour; 0: none, and a first request waits."""


class Async(_Instances):
    """Answers later, into S3: for large requests and slow models, with no instance while nothing
    waits."""

    mode: Literal["async"]
    """Asynchronous Inference."""
    output: Folder | None = None
    """Where answers are put (s3://BUCKET/PREFIX/); default: beside the packages."""
    inputs: tuple[Folder, ...] = ()
    """Further places of requests (s3://BUCKET/PREFIX/) that the role may read."""
    success_topic: Topic | None = None
    """ARN of the SNS topic that is told of each answer."""
    error_topic: Topic | None = None
    """ARN of the SNS topic that is told of each failure."""
    concurrency: int = Field(1, ge=1, le=1000)
    """Requests that one instance is sent at a time."""


def _mode(given: Any) -> Any:
    return given.get("mode", "realtime") if isinstance(given, dict) else getattr(given, "mode", "")


Serving = Annotated[
    Annotated[RealTime, Tag("realtime")]
    | Annotated[Serverless, Tag("serverless")]
    | Annotated[Async, Tag("async")],
    Discriminator(_mode),
]


class Network(Table):
    """What the containers reach, and by which way."""

    subnets: tuple[Subnet, ...] = Field((), max_length=16)
    """Subnets (subnet-...) of your VPC that the containers' connections go through."""
    security_groups: tuple[SecurityGroup, ...] = Field((), max_length=5)
    """Security groups (sg-...) of those connections."""
    isolation: bool = True
    """Let the containers connect to nothing at all: a package needs nothing. No effect where mode =
    "serverless", which does not have it."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> Network:
        if bool(self.subnets) != bool(self.security_groups):
            raise variables.problem("subnets and security_groups go together")
        if len(self.subnets) == 1:
            said = "AWS asks for two, in different availability zones, for a single instance too"
            raise variables.problem(f"subnets has one subnet: {said}")
        return self


class Capture(Table):
    """Keep requests and answers in S3, as they are."""

    percent: int = Field(100, ge=1, le=100)
    """Part of the requests, in percent."""
    output: Folder | None = None
    """Where they are kept (s3://BUCKET/PREFIX/); default: beside the packages."""
    redact: bool = False
    """Keep the answers alone, and nothing of what was sent."""


class SageMaker(PricedTable):
    """Amazon SageMaker. Sign in as the AWS CLI does."""

    rules, tag_rules = variables.SAGEMAKER, tagging.AWS
    region: str | None = Field(None, pattern=r"^[a-z]{2,4}(-[a-z]+)+-\d$")
    """Like eu-west-1; default: that of the AWS configuration."""
    profile: str | None = None
    """Profile of the AWS configuration."""
    bucket: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bucket for packages; default: onnxferry-ACCOUNT-REGION, created when it is absent."""
    prefix: str = Field("onnxferry", pattern=r"^[\w.-]+(/[\w.-]+)*$")
    """Key prefix in the bucket."""
    role: str | None = Field(None, pattern=r"^arn:aws[\w-]*:iam::\d{12}:role/.+$")
    """ARN of the execution role; default: one is created with least privilege."""
    permissions_boundary: str | None = Field(
        None, pattern=r"^arn:aws[\w-]*:iam::(\d{12}|aws):policy/.+$"
    )
    """ARN of the policy that bounds the role that is created."""
    image: str | None = None
    """Image URI; default: the Hugging Face CPU container of the region."""
    kms_key: str | None = Field(None, pattern=_KEY, examples=["alias/serving"])
    """KMS key (id, ARN or alias) that encrypts the instances' disks, captured data and answers in
    S3; default: AWS's own keys."""
    requests_per_month: int | None = Field(None, ge=0)
    """Requests that `plan` estimates the cost of mode serverless and async for."""
    serving: Serving = RealTime()
    """How it serves: real-time, serverless or asynchronous."""
    rollout: SageMakerRollout = SageMakerRollout()
    """How a new version takes over."""
    scaling: Scaling | None = None
    """Autoscaling; default: none."""
    network: Network = Network()
    """What the containers reach."""
    capture: Capture | None = None
    """Keep requests and answers; default: nothing is kept."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> SageMaker:
        if problems := list(self._problems()):
            raise variables.problem("; ".join(problems))
        return self

    def _problems(self) -> Any:
        """What does not go together."""
        if self.role and self.permissions_boundary:
            yield "permissions_boundary is of the role that is created, and role gives another"
        serving, scaling = self.serving, self.scaling
        if self.kms_key:
            yield from _problems_key(serving)
        if scaling:
            yield from _problems_scaled(scaling, serving)
        yield from self._problems_alarms()
        if isinstance(serving, Serverless):
            yield from self._problems_serverless(serving)
        else:
            yield from self._problems_captured(serving)

    def _problems_captured(self, serving: RealTime | Async) -> Any:
        if isinstance(serving, Async):
            if self.capture:
                already = "it keeps requests and answers in S3 anyway"
                yield f'serving.mode = "async" has no data capture ({already}): leave capture out'
            if self.rollout.shadow:
                yield 'serving.mode = "async" has no shadow: leave rollout.shadow out'
            return
        if self.rollout.shadow and serving.variants:
            yield "a shadow is beside one production variant: leave serving.variants out"
        if self.rollout.shadow and not self.capture:
            yield (
                "rollout.shadow compares captured answers: add a table [sagemaker.capture] (it may"
                " be empty; requests and answers are then kept in S3)"
            )

    def _problems_alarms(self) -> Any:
        variants = 1 + len(getattr(self.serving, "variants", ()))
        own, others = 2 * variants * self.rollout.alarms, len(self.rollout.other_alarms)
        if isinstance(self.serving, Serverless):
            own = 0
            if others:
                said = 'serving.mode = "serverless" is not rolled back by alarms'
                yield f"{said}: leave rollout.other_alarms out"
        if own + others > 10:
            count = f"{own} are made (2 a variant), and rollout.other_alarms has {others}"
            yield f"at most 10 alarms watch an endpoint; {count}: set rollout.alarms = false"

    def _problems_serverless(self, serving: Serverless) -> Any:
        without = 'serving.mode = "serverless" has no'
        if serving.provisioned_concurrency > serving.max_concurrency:
            yield "serving.provisioned_concurrency is more than serving.max_concurrency"
        if self.network.subnets:
            yield f"{without} VPC: leave network.subnets out"
        if self.capture or self.rollout.shadow:
            yield f"{without} data capture and no shadow: leave capture and rollout.shadow out"
        if self.rollout.traffic != "all_at_once":
            yield f'{without} steps: leave rollout.traffic = "{self.rollout.traffic}" out'
        if self.scaling and not serving.provisioned_concurrency:
            yield "scaling scales provisioned concurrency: set serving.provisioned_concurrency"


def _problems_key(serving: RealTime | Serverless | Async) -> Any:
    """Instances with disks of their own, which their hardware encrypts, take no key."""
    for fleet in (serving, *getattr(serving, "variants", {}).values()):
        kind = getattr(fleet, "instance_type", "")
        if _OWN_DISKS.match(kind):
            yield f"{kind} has disks of its own, for which AWS takes no key: leave kms_key out"


def _problems_scaled(scaling: Scaling, serving: RealTime | Serverless | Async) -> Any:
    """What of autoscaling does not go with how it serves."""
    if scaling.min == 0 and not isinstance(serving, Async):
        yield f'scaling.min = 0 needs serving.mode = "async"; got "{serving.mode}"'
    if isinstance(serving, Serverless):
        if (scaling.target or 0) > 1:
            yield "scaling.target is the used part of the provisioned concurrency: at most 1"
        if scaling.max > serving.max_concurrency:
            yield "scaling.max is more than serving.max_concurrency"
        return
    most = scaling.max
    for fleet in (serving, *getattr(serving, "variants", {}).values()):
        if re.match(r"ml\.t\d", fleet.instance_type):
            yield f"burstable instances ({fleet.instance_type}) are not autoscaled"
        if fleet.instance_count > most:
            yield f"instance_count ({fleet.instance_count}) is more than scaling.max ({most})"
