"""How bucket, packages, role and logs are changed. Each public method is one Step.operation, and
may be done twice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotAllowed, NotFound, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import state, storage
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import Names
from onnxferry.system.console import Progress

_AT_ONCE = 1000  # keys that S3 deletes by one request
_POLICY_SECONDS = 180  # how long IAM may take to know the role that was made


@dataclass(frozen=True)
class PrerequisiteOperations:
    """The operations on what an endpoint stands on; `wait` waits for what they begin."""

    clients: AwsClients
    names: Names
    wait: Callable[..., None]
    progress: Progress

    def make_bucket(self, step: Step) -> None:
        """Create it, then set it up; the tag that says "ready" comes last."""
        where, bucket = f"bucket {step.name}", step.parameters["bucket"]
        with suppress(NameTaken):
            self.clients.call("s3", "create_bucket", where, step.parameters["create"])
        try:
            self.clients.call("s3", "head_bucket", where, bucket)
        except NotAllowed as e:
            raise NameTaken(
                f"AWS {self.names.region}, {where}: another account has it; set sagemaker.bucket"
                " to one of yours"
            ) from e
        for operation, request in step.parameters["settings"]:
            self.progress(operation.replace("_", " "))
            self.clients.call("s3", operation, where, {**bucket, **request})

    def put_package(self, step: Step) -> None:
        """Upload the package, and golden.json beside it."""
        storage.put(self.clients, Upload(**step.parameters), self.progress)

    def make_role(self, step: Step) -> None:
        """Create the role unless it is there, and give it the policy."""
        where = f"role {step.name}"
        try:
            self.clients.call("iam", "create_role", where, step.parameters["create"])
        except NameTaken:
            if state.role_policies(self.clients, self.names) is None:  # raises if it is not ours
                raise

        def unknown() -> str | None:
            try:
                self.clients.call("iam", "put_role_policy", where, step.parameters["policy"])
            except NotFound:
                return "not known to all of IAM yet"
            return None

        self._wait(where, unknown, limit=_POLICY_SECONDS)

    def delete_package(self, step: Step) -> None:
        """Delete objects by their keys, and unfinished uploads."""
        bucket, keys = step.parameters["bucket"], step.parameters["keys"]
        for key, upload in step.parameters["uploads"]:
            request = {"Bucket": bucket, "Key": key, "UploadId": upload}
            with suppress(NotFound):
                self.clients.call("s3", "abort_multipart_upload", step.name, request)
        for start in range(0, len(keys), _AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
            request = {"Bucket": bucket, "Delete": {"Objects": objects, "Quiet": True}}
            answer = self.clients.call("s3", "delete_objects", step.name, request)
            if errors := answer.get("Errors"):
                said = f"{errors[0].get('Code')}: {errors[0].get('Message')}"
                raise NotAllowed(
                    f"AWS {self.names.region}, {step.name}: not deleted (s3:DeleteObject): {said}"
                )

    def delete_role(self, step: Step) -> None:
        """Delete the role, if it is still ours, with its policies."""
        where, role = f"role {step.name}", dict(step.parameters)
        policies = state.role_policies(self.clients, self.names)
        if policies is None:
            return
        for policy in sorted(policies):
            with suppress(NotFound):
                request = {**role, "PolicyName": policy}
                self.clients.call("iam", "delete_role_policy", where, request)
        with suppress(NotFound):
            self.clients.call("iam", "delete_role", where, role)

    def delete_bucket(self, step: Step) -> None:
        """Another endpoint's package may have come in meanwhile: then it stays."""
        try:
            self.clients.call("s3", "delete_bucket", f"bucket {step.name}", step.parameters)
        except NotFound:
            return
        except Refused as e:
            if "BucketNotEmpty" not in str(e):
                raise
            self.progress("kept: it is not empty")

    def delete_logs(self, step: Step) -> None:
        """Delete a log group."""
        with suppress(NotFound):
            where = f"log group {step.name}"
            self.clients.call("logs", "delete_log_group", where, step.parameters)

    def _wait(self, what: str, state: Callable[[], str | None], **limit: float) -> None:
        self.wait(f"AWS {self.names.region}, {what}", state, **limit)
