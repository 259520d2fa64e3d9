"""What deploying made for an endpoint, from the endpoint back to the bucket, and the plan that
deletes it.

What the user gave stays: a bucket, a role. The default bucket goes with the last endpoint that has
packages in it.
"""

from __future__ import annotations

from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.sagemaker import state as live
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.plan import Steps, deleted_configs, deleted_models, deleted_package
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.sagemaker.storage import Packages


def plan_delete(scope: Scope) -> Plan:
    """Packages go before the models that say where they are, so that a broken deletion can be gone
    on with."""
    there = live.read(scope)
    kept = tuple(
        found for place in places(scope, there) if (found := storage.packages(scope, *place))
    )
    steps = (
        *_endpoints(there),
        *(step for found in kept for step in _packages(found)),
        *deleted_configs(list(there.configs)),
        *deleted_models(list(there.models)),
        *_logs(scope),
        *_role(scope),
        *_bucket(scope),
    )
    return Plan("sagemaker", "delete", scope.names.endpoint, steps)


def places(scope: Scope, there: CurrentState) -> list[tuple[str, str]]:
    """Where packages are, as bucket and prefix: as configured now, and as the models say, who may
    be older."""
    found = {(scope.bucket, scope.prefix)}
    for model in there.models:
        bucket, key = storage.split(live.url_of_model(scope, model))
        found.add((bucket, "/".join(key.split("/")[:-2]) + "/"))
    return sorted(found)


def log_groups(scope: Scope) -> list[str]:
    """The endpoint's log groups, the candidate's too."""
    names = {scope.names.logs(name) for name in (scope.names.endpoint, scope.names.candidate)}
    prefix = {"logGroupNamePrefix": scope.names.logs(scope.names.endpoint)}
    found = scope.aws.pages("logs", "describe_log_groups", "logGroups", "log groups", prefix)
    return sorted(group["logGroupName"] for group in found if group["logGroupName"] in names)


def _endpoints(there: CurrentState) -> Steps:
    return tuple(
        Step(Action.DELETE, "endpoint", found.name, "delete_endpoint")
        for found in (there.candidate, there.main)
        if found
    )


def _packages(found: Packages) -> Steps:
    steps = tuple(
        deleted_package(found.bucket, found.prefix + v, keys)
        for v, keys in found.versions().items()
    )
    if not found.uploads:
        return steps
    broken = {
        "bucket": found.bucket,
        "keys": [],
        "uploads": [list(upload) for upload in found.uploads],
    }
    name = f"s3://{found.bucket}/{found.prefix}"
    return (*steps, Step(Action.DELETE, "unfinished uploads", name, "delete_package", broken))


def _logs(scope: Scope) -> Steps:
    return tuple(
        Step(Action.DELETE, "log group", group, "delete_logs", {"logGroupName": group})
        for group in log_groups(scope)
    )


def _role(scope: Scope) -> Steps:
    if scope.config.role or live.role(scope) is None:
        return ()
    name = scope.names.role
    return (Step(Action.DELETE, "role", name, "delete_role", {"RoleName": name}),)


def _bucket(scope: Scope) -> Steps:
    """The default bucket, if nothing but this endpoint's packages is in it."""
    if scope.config.bucket or storage.bucket_state(scope) == "absent":
        return ()
    request = {"Bucket": scope.bucket}
    try:
        found = scope.aws.pages(
            "s3", "list_objects_v2", "Contents", f"bucket {scope.bucket}", request
        )
    except NotFound:
        return ()
    if any(not item["Key"].startswith(scope.prefix) for item in found):
        return ()
    return (
        Step(
            Action.DELETE,
            "bucket",
            scope.bucket,
            "delete_bucket",
            {"Bucket": scope.bucket, **scope.owner},
        ),
    )
