"""How bucket, packages, role and logs are changed. Each public method is one Step.operation, and
may be done twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotAllowed, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import state, storage
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import Names
from onnxferry.system.console import Progress

_AT_ONCE = 1000  # keys that S3 deletes by one request
IAM_SECONDS = 180.0  # how long IAM may take to make a new role known


@dataclass(frozen=True)
class PrerequisiteOperations:
    """On what an endpoint stands on."""

    clients: AwsClients
    names: Names
    wait: Callable[..., None]
    progress: Progress

    def make_bucket(self, step: Step) -> None:
        """Create the bucket and set it up."""
        where, bucket = f"bucket {step.name}", step.parameters["bucket"]
        with suppress(NameTaken):
            self.clients.call("s3", "create_bucket", where, **step.parameters["create"])
        try:
            self.clients.call("s3", "head_bucket", where, **bucket)
        except NotAllowed as e:
            raise NameTaken(
                f"AWS {self.names.region}, {where}: another account has it; set sagemaker.bucket"
                " to one of yours"
            ) from e
        for operation, request in step.parameters["settings"]:
            self.progress(operation.replace("_", " "))
            self.clients.call("s3", operation, where, **bucket, **request)

    def put_package(self, step: Step) -> None:
        """Upload the package, and golden.json beside it."""
        storage.put(self.clients, Upload(**step.parameters), self.progress)

    def make_role(self, step: Step) -> None:
        """Create the role unless it is there, and give it the policy."""
        where, policy = f"role {step.name}", step.parameters["policy"]
        try:
            self.clients.call("iam", "create_role", where, **step.parameters["create"])
        except NameTaken:
            if not state.has_role(self.clients, self.names):  # raises if it is not ours
                raise

        def unknown() -> str | None:
            put = self.clients.call_if_there("iam", "put_role_policy", where, **policy)
            return "not known to all of IAM yet" if put is None else None

        self._wait(where, unknown, limit=IAM_SECONDS)

    def delete_package(self, step: Step) -> None:
        """Delete objects by their keys, and unfinished uploads."""
        bucket, keys = step.parameters["bucket"], step.parameters["keys"]
        for key, upload in step.parameters["uploads"]:
            what = {"Bucket": bucket, "Key": key, "UploadId": upload}
            self.clients.call_if_there("s3", "abort_multipart_upload", step.name, **what)
        for start in range(0, len(keys), _AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
            what = {"Bucket": bucket, "Delete": {"Objects": objects, "Quiet": True}}
            answer = self.clients.call("s3", "delete_objects", step.name, **what)
            if errors := answer.get("Errors"):
                said = f"{errors[0].get('Code')}: {errors[0].get('Message')}"
                raise NotAllowed(
                    f"AWS {self.names.region}, {step.name}: not deleted (s3:DeleteObject): {said}"
                )

    def delete_role(self, step: Step) -> None:
        """Delete the role, if it is still ours, with its policies."""
        where, role = f"role {step.name}", {"RoleName": step.name}
        if not state.has_role(self.clients, self.names):
            return
        for policy in step.parameters["policies"]:
            named = {**role, "PolicyName": policy}
            self.clients.call_if_there("iam", "delete_role_policy", where, **named)
        self.clients.call_if_there("iam", "delete_role", where, **role)

    def delete_bucket(self, step: Step) -> None:
        """Delete the bucket, unless another endpoint's package has come in."""
        where = f"bucket {step.name}"
        try:
            self.clients.call_if_there("s3", "delete_bucket", where, **step.parameters)
        except Refused as e:
            if "BucketNotEmpty" not in str(e):
                raise
            self.progress("kept: it is not empty")

    def delete_logs(self, step: Step) -> None:
        """Delete a log group."""
        where = f"log group {step.name}"
        self.clients.call_if_there("logs", "delete_log_group", where, **step.parameters)

    def _wait(self, what: str, state: Callable[[], str | None], **limit: float) -> None:
        self.wait(f"AWS {self.names.region}, {what}", state, **limit)
