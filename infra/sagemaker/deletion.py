"""The plan that deletes what deploying made, from the endpoint back to the bucket. What the user
gave stays. The default bucket goes with the last endpoint that has packages in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.sagemaker.plan import TARGET, deleted, deleted_hosting, deleted_packages
from onnxferry.infra.sagemaker.state import CurrentState, OwnedResources


def delete(
    state: CurrentState, owned: OwnedResources, policies: Collection[str], *, bucket: bool
) -> Plan:
    """Steps for all that is `owned`, the role with its `policies`, and the bucket if `bucket`.
    Packages go before the models that say where they are: a broken deletion can be resumed."""
    names, last = state.names, []
    if owned.role:
        last.append(deleted("role", names.role, "delete_role", policies=list(policies)))
    if bucket:
        request = {"Bucket": names.bucket, **names.owner}
        last.append(deleted("bucket", names.bucket, "delete_bucket", **request))
    summary = Summary(names.place, minutes=(1, 5))
    return Plan(TARGET, "delete", names.endpoint, (*_steps(state, owned), *last), summary)


def _steps(state: CurrentState, owned: OwnedResources) -> Iterator[Step]:
    for found in filter(None, (state.candidate, state.main)):
        yield deleted("endpoint", found.name, "delete_endpoint")
    for packages in owned.packages:
        yield from deleted_packages(packages)
        if packages.uploads:
            name = f"s3://{packages.bucket}/{packages.prefix}"
            rest = {"bucket": packages.bucket, "keys": [], "uploads": packages.uploads}
            yield deleted("unfinished uploads", name, "delete_package", **rest)
    yield from deleted_hosting(state.configs, state.models)
    for group in owned.logs:
        yield deleted("log group", group, "delete_logs", logGroupName=group)
