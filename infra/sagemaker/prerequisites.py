"""How bucket, packages, role and logs are changed. Each public method is one Step.operation, and
may be done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound, Refused
from onnxferry.infra.plan import Step
from onnxferry.infra.sagemaker import execution_role, packages, state, storage
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.object_deletion import ObjectDeletion
from onnxferry.system.console import Progress

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
        if storage.bucket_state(self.clients, self.names) == "absent":
            with suppress(NameTaken):
                self.clients.call("s3", "create_bucket", where, **step.parameters["create"])
            storage.bucket_state(self.clients, self.names)  # raises if another was quicker
        for operation, request in step.parameters["settings"]:
            self.progress(operation.replace("_", " "))
            self.clients.call("s3", operation, where, **bucket, **request)

    def put_package(self, step: Step) -> None:
        """Upload the package, and golden.json beside it."""
        storage.put(self.clients, self.names, Upload(**step.parameters), self.progress)

    def make_role(self, step: Step) -> None:
        """Create the role unless it is there, and give it the policy."""
        where, policy = f"role {step.name}", step.parameters["policy"]
        try:
            self.clients.call("iam", "create_role", where, **step.parameters["create"])
        except NameTaken:
            made = execution_role.described_role(
                self.clients, self.names
            )  # raises if it is not ours
            if made is None:
                raise
            self._bound(where, step.parameters["create"], execution_role.boundary_of(made))

        def unknown() -> str | None:
            put = self.clients.call_if_there("iam", "put_role_policy", where, **policy)
            return "not known to all of IAM yet" if put is None else None

        self._wait(where, unknown, limit=IAM_SECONDS)

    def _bound(self, where: str, role: Mapping[str, Any], boundary: str) -> None:
        """Bound a role that is there. A boundary that is no longer asked for stays: it may be
        somebody's rule."""
        named = {key: role.get(key) for key in ("RoleName", "PermissionsBoundary")}
        if named["PermissionsBoundary"] not in (None, boundary):
            self.clients.call("iam", "put_role_permissions_boundary", where, **named)

    def delete_package(self, step: Step) -> None:
        """Delete what is still ours of a package, unless it serves now. Uploads go first: the mark
        of a package's objects proves them."""
        bucket, at = step.parameters["bucket"], self.names.at(step.parameters["bucket"])
        if step.parameters["sha256"].startswith(self._serving()):
            return self.progress("kept: it serves now")
        ours = packages.proved(self.clients, self.names, bucket, _keys(step, "objects"))
        for key, upload in step.parameters["uploads"] if ours else ():
            what = {**at, "Key": key, "UploadId": upload}
            self.clients.call_if_there("s3", "abort_multipart_upload", step.name, **what)
        self._delete_objects(step, _keys(step, "markers") if ours else [])
        return self._delete_objects(step, list(ours.values()))

    def delete_lease(self, step: Step) -> None:
        """Delete the lease, with its older versions."""
        bucket, key = step.parameters["bucket"], step.parameters["key"]
        there = packages.listing(self.clients, self.names, bucket, key)
        named = [(k, "") for k in there.latest] + [*there.older]
        exact = [each for each in named if each[0] == key]
        ours = packages.proved(self.clients, self.names, bucket, exact)
        if len(ours) == len(exact):
            self._delete_objects(step, [marker for marker in there.markers if marker[0] == key])
        self._delete_objects(step, list(ours.values()))

    def delete_role(self, step: Step) -> None:
        """Delete the role, if it is still ours, with its policies. A role that others use, too,
        stays."""
        self.delete_policies(step)
        where = f"role {step.name}"
        try:
            if execution_role.has_role(self.clients, self.names):
                self.clients.call_if_there("iam", "delete_role", where, RoleName=step.name)
        except Refused as e:
            if "DeleteConflict" not in str(e):
                raise
            self.progress(f"kept: others use it ({e})")

    def delete_policies(self, step: Step) -> None:
        """Delete the policies that we gave the role."""
        if execution_role.has_role(self.clients, self.names):
            for policy in step.parameters["policies"]:
                named = {"RoleName": step.name, "PolicyName": policy}
                where = f"role {step.name}"
                self.clients.call_if_there("iam", "delete_role_policy", where, **named)

    def delete_bucket(self, step: Step) -> None:
        """Delete the lease and the bucket, unless another endpoint's package has come in."""
        where, lease = f"bucket {step.name}", step.parameters["lease"]
        try:
            self.delete_lease(replace(step, parameters={"bucket": step.name, "key": lease}))
            self.clients.call_if_there("s3", "delete_bucket", where, **step.parameters["request"])
        except NotFound:
            return
        except Refused as e:
            if "BucketNotEmpty" not in str(e):
                raise
            self.progress("kept: it is not empty")

    def delete_logs(self, step: Step) -> None:
        """Delete a log group."""
        where = f"log group {step.name}"
        self.clients.call_if_there("logs", "delete_log_group", where, **step.parameters)

    def _serving(self) -> tuple[str, ...]:
        """What the hashes of the packages begin with that serve or are on their way."""
        main = state.endpoint(self.clients, self.names.endpoint)
        configs = (main.config, main.pending) if main else ()
        return tuple(filter(None, map(self.names.package_of, configs)))

    def _delete_objects(self, step: Step, keys: list[packages.Key]) -> None:
        given = (self.clients, self.names, step.parameters["bucket"], step.name)
        ObjectDeletion(*given, self.progress).delete(keys)

    def _wait(self, what: str, state: Callable[[], str | None], **limit: float) -> None:
        self.wait(f"AWS {self.names.region}, {what}", state, **limit)


def _keys(step: Step, what: str) -> list[packages.Key]:
    return [(key, version) for key, version in step.parameters[what]]
