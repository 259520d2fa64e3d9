"""The plan that deletes what deploying made for an endpoint, from the endpoint back to the bucket.

What the user gave stays: a bucket, a role. The default bucket goes with the last endpoint that has
packages in it.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.sagemaker.plan import TARGET, deleted_configs, deleted_models, deleted_packages
from onnxferry.infra.sagemaker.state import CurrentState, OwnedResources
from onnxferry.infra.sagemaker.storage import Packages


def delete(state: CurrentState, owned: OwnedResources, *, bucket: bool) -> Plan:
    """Packages go before the models that say where they are, so that a broken deletion can be
    resumed. `bucket` says whether that goes too."""
    names = state.names
    steps = (*_steps(state, owned), *(_bucket(state) if bucket else ()))
    summary = Summary(names.place, minutes=(1, 5))
    return Plan(TARGET, "delete", names.endpoint, steps, summary)


def _steps(state: CurrentState, owned: OwnedResources) -> Iterator[Step]:
    for found in filter(None, (state.candidate, state.main)):
        yield Step(Action.DELETE, "endpoint", found.name, "delete_endpoint")
    for packages in owned.packages:
        yield from deleted_packages(packages)
        yield from _uploads(packages)
    yield from deleted_configs(state.configs)
    yield from deleted_models(state.models)
    for group in owned.logs:
        yield Step(Action.DELETE, "log group", group, "delete_logs", {"logGroupName": group})
    if owned.role:
        role = state.names.role
        yield Step(Action.DELETE, "role", role, "delete_role", {"RoleName": role})


def _uploads(found: Packages) -> Iterator[Step]:
    if found.uploads:
        name, uploads = f"s3://{found.bucket}/{found.prefix}", [list(u) for u in found.uploads]
        parameters = {"bucket": found.bucket, "keys": [], "uploads": uploads}
        yield Step(Action.DELETE, "unfinished uploads", name, "delete_package", parameters)


def _bucket(state: CurrentState) -> Iterator[Step]:
    name = state.names.bucket
    parameters = {"Bucket": name, **state.names.owner}
    yield Step(Action.DELETE, "bucket", name, "delete_bucket", parameters)
