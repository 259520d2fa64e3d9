"""The plan that deletes what deploying made, from the endpoint back to the bucket. What the user
gave stays. The default bucket goes with the last endpoint that has packages in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.plan import TARGET, deleted, deleted_hosting, deleted_packages
from onnxferry.infra.sagemaker.state import CurrentState, OwnedResources


def delete(
    state: CurrentState,
    owned: OwnedResources,
    policies: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    bucket: bool,
) -> Plan:
    """Steps for all that is `owned`, the role with its `policies` (ours, others'), the bucket if
    `bucket`, and the lease. Packages go before the models that say where they are: a broken
    deletion can be resumed."""
    names, steps = state.names, (*_steps(state, owned), *_role(state.names, owned, policies))
    leases = [deleted_lease(found.bucket, found.lease) for found in owned.packages if found.lease]
    if bucket:
        request = {"Bucket": names.bucket, **names.owner}
        what = {"request": request, "lease": names.lease_key}
        leases = [s for s in leases if s.parameters["bucket"] != names.bucket]
        leases.append(deleted("bucket", names.bucket, "delete_bucket", **what))
    summary = Summary(names.place, minutes=(1, 5), notes=tuple(_kept(names, owned, policies[1])))
    return Plan(TARGET, "delete", names.endpoint, (*steps, *leases), summary)


def deleted_lease(bucket: str, key: str) -> Step:
    """The step that deletes a lease."""
    return deleted("lease", f"s3://{bucket}/{key}", "delete_lease", bucket=bucket, key=key)


def _kept(names: Names, owned: OwnedResources, others: Collection[str]) -> Iterator[str]:
    """What stays though it may look like ours, in lines."""
    if owned.role and others:
        yield f"role {names.role} stays: others gave it policies ({', '.join(others)})"
    for folder in owned.unmarked:
        yield f"s3://{names.bucket}/{folder} stays: it has no mark to tell whose it is"
    for found in owned.packages:
        if found.others:
            yield (
                f"s3://{found.bucket}/{found.folder} stays: {found.others} objects there are not"
                " onnxferry's"
            )


def _role(
    names: Names, owned: OwnedResources, policies: tuple[tuple[str, ...], tuple[str, ...]]
) -> Iterator[Step]:
    """A role to which others gave policies stays, without ours."""
    ours, others = policies
    if owned.role and not others:
        yield deleted("role", names.role, "delete_role", policies=list(ours))
    elif owned.role and ours:
        yield deleted("policies of role", names.role, "delete_policies", policies=list(ours))


def _steps(state: CurrentState, owned: OwnedResources) -> Iterator[Step]:
    for found in filter(None, (state.candidate, state.main)):
        yield deleted("endpoint", found.name, "delete_endpoint")
    for packages in owned.packages:
        yield from deleted_packages(packages)
    yield from deleted_hosting(state.configs, state.models)
    for group in owned.logs:
        yield deleted("log group", group, "delete_logs", logGroupName=group)
