"""What CloudFormation calls of the services for each kind of resource, with its caller's
permissions: what it makes, changes and deletes, and what must be made anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import botocore.exceptions
import botocore.session
from botocore.config import Config
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.fakes.aws.in_process import attach
from tests.fakes.aws.stack_properties import typed

Properties = Mapping[str, Any]
PREFIX = "aws:cloudformation:"
_WITHOUT_TAGS = ("AWS::ApplicationAutoScaling::ScalableTarget",)


class Failed(Exception):
    """What a service refused, in the words of a stack's event."""


@dataclass
class Made:
    """A resource of a stack: `attributes` are what Fn::GetAtt gives, with Ref's as ""."""

    kind: str
    properties: Properties
    physical: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@cache
def fixed(kind: str, region: str) -> frozenset[str]:
    """The properties that cannot be changed, by AWS's own schema."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(region, kind).schema
    paths = schema.get("createOnlyProperties", [])
    return frozenset(path.removeprefix("/properties/").split("/")[0] for path in paths)


class Services:
    """Clients whose requests `application` answers, without a socket."""

    def __init__(self, application: Any, url: str, region: str) -> None:
        self._application, self._url, self._region = application, url, region
        self._kept: dict[str, Any] = {}

    def call(self, service: str, operation: str, /, **request: Any) -> Any:
        client = self._client(service)
        try:
            return getattr(client, operation)(**request)
        except botocore.exceptions.ClientError as e:
            error = e.response["Error"]
            raise Failed(f"{error['Message']} (Service: {service}, {error['Code']})") from e
        except botocore.exceptions.ParamValidationError as e:
            raise Failed(f"Properties validation failed: {e}") from e

    def _client(self, service: str) -> Any:
        if service not in self._kept:
            place = {"region_name": self._region, "endpoint_url": self._url}
            keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
            once = Config(retries={"total_max_attempts": 1})
            # not boto3's, whose clients tests may share
            made = botocore.session.Session().create_client(service, **place, **keys, config=once)
            self._kept[service] = attach(made, self._application)
        return self._kept[service]


@dataclass(frozen=True)
class Resources:
    """Of the stack `name`, whose `tags` all of them get that have tags."""

    services: Services
    name: str
    tags: Mapping[str, str]

    def make(self, kind: str, logical: str, given: Properties) -> Made:
        """May need to be followed: see `ready`."""
        digits = hashlib.sha256(f"{self.name}{json.dumps(given)}".encode()).hexdigest()[:12]
        own = f"{self.name}-{logical}-{digits}"
        physical, attributes = self._kinds[kind][0](own, self._tagged(kind, given))
        return Made(kind, given, physical, {"": physical, **attributes})

    def change(self, there: Made, given: Properties) -> None:
        self._kinds[there.kind][1](there, self._tagged(there.kind, given))
        there.properties = given

    def delete(self, there: Made) -> None:
        self._kinds[there.kind][2](there)

    def ready(self, there: Made) -> bool:
        """Whether nothing is under way there. Raises Failed."""
        if there.kind != "AWS::SageMaker::Endpoint":
            return True
        found = self._sagemaker("describe_endpoint", EndpointName=there.physical)
        if found["EndpointStatus"] in ("Failed", "OutOfService", "UpdateRollbackFailed"):
            raise Failed(found.get("FailureReason", found["EndpointStatus"]))
        if found["EndpointStatus"] != "InService":
            return False
        if found["EndpointConfigName"] != there.properties["EndpointConfigName"]:
            raise Failed(found.get("FailureReason", "the update was rolled back"))
        return True

    def gone(self, there: Made) -> bool:
        """Whether a resource that is being deleted is gone."""
        if there.kind != "AWS::SageMaker::Endpoint":
            return True
        try:
            self._sagemaker("describe_endpoint", EndpointName=there.physical)
        except Failed:
            return True
        return False

    def _tagged(self, kind: str, given: Properties) -> dict[str, Any]:
        if kind in _WITHOUT_TAGS or kind.endswith("::ScalingPolicy"):
            return dict(given)
        own = {tag["Key"]: tag["Value"] for tag in given.get("Tags", [])}
        both = {**self.tags, **own}
        return {**given, "Tags": [{"Key": key, "Value": value} for key, value in both.items()]}

    @cached_property
    def _kinds(self) -> Mapping[str, tuple[Callable[..., Any], ...]]:
        return {
            "AWS::S3::Bucket": (self._make_bucket, self._set_up, self._delete_bucket),
            "AWS::IAM::Role": (self._make_role, self._change_role, self._delete_role),
            "AWS::SageMaker::Model": self._hosting("model", "Model"),
            "AWS::SageMaker::EndpointConfig": self._hosting("endpoint_config", "EndpointConfig"),
            "AWS::SageMaker::Endpoint": (self._make_endpoint, self._update, self._delete_endpoint),
            "AWS::CloudWatch::Alarm": (self._put_alarm, self._put_again, self._delete_alarm),
            "AWS::ApplicationAutoScaling::ScalableTarget": (
                self._register,
                lambda there, given: self._register("", given),
                self._deregister,
            ),
            "AWS::ApplicationAutoScaling::ScalingPolicy": (
                self._put_policy,
                lambda there, given: self._put_policy("", given),
                self._delete_policy,
            ),
        }

    def _make_bucket(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        name = given["BucketName"]
        place = {"LocationConstraint": self.services._region}
        self._s3("create_bucket", Bucket=name, CreateBucketConfiguration=place)
        self._set_up(Made("", {}, name), given)
        return name, {"Arn": f"arn:aws:s3:::{name}"}

    def _set_up(self, there: Made, given: dict[str, Any]) -> None:
        bucket = {"Bucket": there.physical}
        public = given["PublicAccessBlockConfiguration"]
        self._s3("put_public_access_block", **bucket, PublicAccessBlockConfiguration=public)
        rules = [
            {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
            for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        encryption = {"ServerSideEncryptionConfiguration": {"Rules": rules}}
        self._s3("put_bucket_encryption", **bucket, **encryption)
        lifecycle = [
            {**{k: v for k, v in rule.items() if k != "Id"}, "ID": rule["Id"], "Filter": {}}
            for rule in given["LifecycleConfiguration"]["Rules"]
        ]
        configuration = {"LifecycleConfiguration": {"Rules": lifecycle}}
        self._s3("put_bucket_lifecycle_configuration", **bucket, **configuration)
        self._s3("put_bucket_tagging", **bucket, Tagging={"TagSet": given["Tags"]})

    def _delete_bucket(self, there: Made) -> None:
        self._s3("delete_bucket", Bucket=there.physical)

    def _make_role(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        trust = json.dumps(given["AssumeRolePolicyDocument"])
        others = ("RoleName", "Description", "Tags", "PermissionsBoundary")
        request = {key: given[key] for key in others if key in given}
        made = self._iam("create_role", **request, AssumeRolePolicyDocument=trust)["Role"]
        self._put_policies(made["RoleName"], given)
        return made["RoleName"], {"Arn": made["Arn"]}

    def _put_policies(self, role: str, given: dict[str, Any]) -> None:
        for policy in given["Policies"]:
            document = json.dumps(policy["PolicyDocument"])
            what = {"RoleName": role, "PolicyName": policy["PolicyName"]}
            self._iam("put_role_policy", **what, PolicyDocument=document)

    def _change_role(self, there: Made, given: dict[str, Any]) -> None:
        self._put_policies(there.physical, given)

    def _delete_role(self, there: Made) -> None:
        """Policies that others gave it are in the way."""
        for policy in there.properties["Policies"]:
            what = {"RoleName": there.physical, "PolicyName": policy["PolicyName"]}
            self._iam("delete_role_policy", **what)
        self._iam("delete_role", RoleName=there.physical)

    def _hosting(self, kind: str, word: str) -> tuple[Callable[..., Any], ...]:
        def make(own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
            request = typed(f"Create{word}", {f"{word}Name": own, **given})
            arn = self._sagemaker(f"create_{kind}", **request)[f"{word}Arn"]
            return arn, {f"{word}Name": request[f"{word}Name"], f"{word}Arn": arn}

        def delete(there: Made) -> None:
            self._sagemaker(f"delete_{kind}", **{f"{word}Name": there.attributes[f"{word}Name"]})

        return make, self._retag, delete

    def _retag(self, there: Made, given: dict[str, Any]) -> None:
        self._sagemaker("add_tags", ResourceArn=there.physical, Tags=given["Tags"])

    def _make_endpoint(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        later = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties")
        wanted = {key: value for key, value in given.items() if key not in later}
        request = typed("CreateEndpoint", {"EndpointName": own, **wanted})
        arn = self._sagemaker("create_endpoint", **request)["EndpointArn"]
        name = request["EndpointName"]
        return name, {"EndpointName": name, "EndpointArn": arn}

    def _update(self, there: Made, given: dict[str, Any]) -> None:
        wanted = {key: value for key, value in given.items() if key != "Tags"}
        self._sagemaker("add_tags", ResourceArn=there.attributes["EndpointArn"], Tags=given["Tags"])
        self._sagemaker("update_endpoint", **typed("UpdateEndpoint", wanted))

    def _delete_endpoint(self, there: Made) -> None:
        self._sagemaker("delete_endpoint", EndpointName=there.physical)

    def _put_alarm(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        request = typed("PutMetricAlarm", {"AlarmName": own, **given}, "cloudwatch")
        self.services.call("cloudwatch", "put_metric_alarm", **request)
        return request["AlarmName"], {}

    def _put_again(self, there: Made, given: dict[str, Any]) -> None:
        self._put_alarm("", given)

    def _delete_alarm(self, there: Made) -> None:
        self.services.call("cloudwatch", "delete_alarms", AlarmNames=[there.physical])

    def _register(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        what = {key: value for key, value in given.items() if key != "ScheduledActions"}
        request = typed("RegisterScalableTarget", what, _SCALING)
        self._scaling("register_scalable_target", **request)
        at = _target(given)
        for action in given.get("ScheduledActions", []):
            whole = typed("PutScheduledAction", {**at, **action}, _SCALING)
            self._scaling("put_scheduled_action", **whole)
        return "|".join(reversed(at.values())), {}

    def _deregister(self, there: Made) -> None:
        self._scaling("deregister_scalable_target", **_target(there.properties))

    def _put_policy(self, own: str, given: dict[str, Any]) -> tuple[str, dict[str, str]]:
        request = typed("PutScalingPolicy", given, _SCALING)
        made = self._scaling("put_scaling_policy", **request)
        return made["PolicyARN"], {"Arn": made["PolicyARN"]}

    def _delete_policy(self, there: Made) -> None:
        name = there.properties["PolicyName"]
        self._scaling("delete_scaling_policy", PolicyName=name, **_target(there.properties))

    def _s3(self, operation: str, **request: Any) -> Any:
        return self.services.call("s3", operation, **request)

    def _iam(self, operation: str, **request: Any) -> Any:
        return self.services.call("iam", operation, **request)

    def _sagemaker(self, operation: str, **request: Any) -> Any:
        return self.services.call("sagemaker", operation, **request)

    def _scaling(self, operation: str, **request: Any) -> Any:
        return self.services.call(_SCALING, operation, **request)


_SCALING = "application-autoscaling"


def _target(given: Properties) -> dict[str, str]:
    keys = ("ServiceNamespace", "ScalableDimension", "ResourceId")
    return {key: given[key] for key in keys}
