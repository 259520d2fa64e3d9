"""How bucket, packages, role and logs are changed. Each operation may be done twice."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NameTaken, NotAllowed, NotFound, Refused
from onnxferry.infra.plan import Operation, Step
from onnxferry.infra.sagemaker import state as live
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.desired import desired
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.system.console import Progress

_AT_ONCE = 1000  # keys that S3 deletes by one request


@dataclass(frozen=True)
class Prerequisites:
    scope: Scope
    bundle: Bundle | None

    def operations(self) -> Mapping[str, Operation]:
        return {
            "make_bucket": self.make_bucket,
            "put_package": self.put_package,
            "make_role": self.make_role,
            "delete_package": self.delete_package,
            "delete_role": self.delete_role,
            "delete_bucket": self.delete_bucket,
            "delete_logs": self.delete_logs,
        }

    def make_bucket(self, step: Step, progress: Progress) -> None:
        """Create it, then set it up; the tag that says "ready" comes last."""
        where = f"bucket {step.name}"
        with suppress(NameTaken):
            self.scope.aws.call("s3", "create_bucket", where, step.parameters["create"])
        try:
            self.scope.aws.call(
                "s3", "head_bucket", where, {"Bucket": step.name, **self.scope.owner}
            )
        except NotAllowed as e:
            raise NameTaken(
                f"AWS {self.scope.aws.region}, {where}: another account has it; set"
                " sagemaker.bucket to one of yours"
            ) from e
        for operation, request in step.parameters["settings"]:
            progress(operation.replace("_", " "))
            self.scope.aws.call(
                "s3", operation, where, {"Bucket": step.name, **request, **self.scope.owner}
            )

    def put_package(self, step: Step, progress: Progress) -> None:
        if self.bundle is None:
            raise CloudError(f"{step}: only a deployment has a package to upload")
        storage.put(self.scope, self.bundle, desired(self.scope, self.bundle), progress)

    def make_role(self, step: Step, progress: Progress) -> None:
        where = f"role {step.name}"
        try:
            self.scope.aws.call("iam", "create_role", where, step.parameters["create"])
        except NameTaken:
            if live.role(self.scope) is None:  # raises NameTaken when it is not ours
                raise

        def state() -> str | None:
            try:
                self.scope.aws.call("iam", "put_role_policy", where, step.parameters["policy"])
            except NotFound:
                return "not known to all of IAM yet"
            return None

        self.scope.wait(where, state, progress, limit=180)

    def delete_package(self, step: Step, progress: Progress) -> None:
        bucket, keys = step.parameters["bucket"], step.parameters["keys"]
        for key, upload in step.parameters["uploads"]:
            request = {"Bucket": bucket, "Key": key, "UploadId": upload}
            with suppress(NotFound):
                self.scope.aws.call("s3", "abort_multipart_upload", step.name, request)
        for start in range(0, len(keys), _AT_ONCE):
            objects = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
            request = {"Bucket": bucket, "Delete": {"Objects": objects, "Quiet": True}}
            answer = self.scope.aws.call("s3", "delete_objects", step.name, request)
            if errors := answer.get("Errors"):
                said = f"{errors[0].get('Code')}: {errors[0].get('Message')}"
                raise NotAllowed(
                    f"AWS {self.scope.aws.region}, {step.name}: not deleted (s3:DeleteObject):"
                    f" {said}"
                )

    def delete_role(self, step: Step, progress: Progress) -> None:
        where, role = f"role {step.name}", dict(step.parameters)
        with suppress(NotFound):
            for policy in live.role_policies(self.scope):
                with suppress(NotFound):
                    self.scope.aws.call(
                        "iam", "delete_role_policy", where, {**role, "PolicyName": policy}
                    )
            self.scope.aws.call("iam", "delete_role", where, role)

    def delete_bucket(self, step: Step, progress: Progress) -> None:
        """Another endpoint's package may have come in meanwhile: then it stays."""
        try:
            self.scope.aws.call("s3", "delete_bucket", f"bucket {step.name}", step.parameters)
        except NotFound:
            return
        except Refused as e:
            if "BucketNotEmpty" not in str(e):
                raise
            progress("kept: it is not empty")

    def delete_logs(self, step: Step, progress: Progress) -> None:
        with suppress(NotFound):
            self.scope.aws.call(
                "logs", "delete_log_group", f"log group {step.name}", step.parameters
            )
