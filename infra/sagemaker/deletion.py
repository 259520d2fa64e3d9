"""The plans that delete what deploying made: all of it, from the endpoint back to the bucket, or
what has not proved itself. What the user gave stays, and what others use. The default bucket goes
with the last endpoint that has packages in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.sagemaker import capture, rollout
from onnxferry.infra.sagemaker.async_inference import ASYNC
from onnxferry.infra.sagemaker.names import Names, own_template, stack_name
from onnxferry.infra.sagemaker.owned import OwnedResources
from onnxferry.infra.sagemaker.plan import (
    TARGET,
    deleted,
    deleted_alarms,
    deleted_hosting,
    deleted_packages,
)
from onnxferry.infra.sagemaker.rollout import Goal, deleted_found
from onnxferry.infra.sagemaker.state import CurrentState

Policies = tuple[tuple[str, ...], tuple[str, ...]]
Hosting = tuple[set[str], set[str]]


def delete(
    state: CurrentState,
    owned: OwnedResources,
    policies: Policies,
    used: Mapping[str, str],
    *,
    bucket: bool,
) -> Plan:
    """Steps for all that is `owned`, the role with its `policies` (ours, others'), the bucket if
    `bucket`, and the lease. What is `used` (name -> by what else) stays, with all that it needs.
    Packages go before the models that say where they are: a broken deletion can be resumed."""
    names, needed = state.names, any(name in state.models for name in used)
    hosting = (set(state.configs) - set(used), set(state.models) - set(used))
    main = None if state.templated else state.main
    endpoints = (deleted_found(one) for one in (state.candidate, main) if one)
    stack = _stack(names, owned)
    logs = (deleted("log group", group, "delete_logs", logGroupName=group) for group in owned.logs)
    role = () if needed else _role(names, owned, policies)
    last = _last(names, owned, bucket=bucket and not needed)
    gone = deleted_alarms(state, ())
    steps = (*endpoints, *stack, *gone, *_hosted(state, owned, hosting), *logs, *role, *last)
    stay = (f"{name} stays: {by} uses it." for name, by in sorted(used.items()))
    captured = capture.kept(state.captured, names)
    notes = (*stay, *_kept(names, owned, policies[1]), *captured)
    summary = Summary(names.place, minutes=(1, 5), notes=notes)
    return Plan(TARGET, "delete", names.endpoint, steps, summary)


def _stack(names: Names, owned: OwnedResources) -> Iterator[Step]:
    """The stack of the template that the kit deployed, with what it has made."""
    if owned.template == own_template(names.endpoint):
        yield deleted("stack", stack_name(names.endpoint), "delete_stack")


def unproved(state: CurrentState) -> Hosting:
    """Configurations and models of versions that neither serve, nor are on their way, nor served
    before; those of a shadow, too."""
    main = state.main
    kept = {main.config, main.pending, *main.history} if main and main.history else set()
    kept -= {main.config} if main and state.shadow else set()
    packages = {state.names.package_of(config) for config in kept}
    models = {m for m in state.models if state.names.package_of(m) not in packages}
    return {config for config in state.configs if config not in kept}, models


def delete_unproved(
    state: CurrentState, owned: OwnedResources, used: Collection[str], back: Goal | None = None
) -> Plan:
    """Steps for the candidate, an endpoint that never proved itself, a shadow, and what only they
    need. The endpoint goes `back` to what serves alone, where it has a shadow."""
    main = state.main if state.main and not state.main.history else None
    configs, models = (names - set(used) for names in unproved(state))
    endpoints = (deleted_found(one) for one in (state.candidate, main) if one)
    alone = rollout.moved(state, back) if back else ()
    gone = deleted_alarms(state, set(state.configs) - configs)
    steps = (*endpoints, *alone, *gone, *_hosted(state, owned, (configs, models)))
    summary = Summary(state.names.place, minutes=(1, 5))
    return Plan(TARGET, "delete what is not proved of", state.names.endpoint, steps, summary)


def _hosted(state: CurrentState, owned: OwnedResources, hosting: Hosting) -> Iterator[Step]:
    """Configurations and models, and before them the packages of versions that nothing else
    names."""
    gone = {*hosting[0], *hosting[1]}
    others = {*state.configs, *state.models, *state.foreign} - gone
    kept = {state.names.package_of(name) for name in others}
    for packages in owned.packages:
        yield from deleted_packages(packages, kept)
    yield from deleted_hosting(*map(sorted, hosting))


def _last(names: Names, owned: OwnedResources, *, bucket: bool) -> Iterator[Step]:
    """Leases; that in the bucket goes with it."""
    for found in owned.packages:
        if found.lease and not (bucket and found.bucket == names.bucket):
            yield deleted_lease(found.bucket, found.lease)
    if bucket:
        request = {"Bucket": names.bucket, **names.owner}
        what = {"request": request, "lease": names.lease_key}
        yield deleted("bucket", names.bucket, "delete_bucket", **what)


def deleted_lease(bucket: str, key: str) -> Step:
    """The step that deletes a lease."""
    return deleted("lease", f"s3://{bucket}/{key}", "delete_lease", bucket=bucket, key=key)


def _kept(names: Names, owned: OwnedResources, others: Collection[str]) -> Iterator[str]:
    """What stays though it may look like ours, in lines."""
    if owned.role and others:
        yield f"role {names.role} stays: others gave it policies ({', '.join(others)})"
    if owned.template and owned.template != own_template(names.endpoint):
        yield f"role {names.role} stays: it is of the template {owned.template}"
    for folder in owned.unmarked:
        yield f"s3://{names.bucket}/{folder} stays: it has no mark to tell whose it is"
    for found in owned.packages:
        if found.queued:
            where = f"s3://{found.bucket}/{found.folder}{ASYNC}"
            yield f"{where} stays: {found.queued} requests and answers of invoke --async"
        if found.others:
            yield (
                f"s3://{found.bucket}/{found.folder} stays: {found.others} objects there are not"
                " onnxferry's"
            )


def _role(names: Names, owned: OwnedResources, policies: Policies) -> Iterator[Step]:
    """A role to which others gave policies stays, without ours."""
    ours, others = policies
    if owned.role and not others:
        yield deleted("role", names.role, "delete_role", policies=list(ours))
    elif owned.role and ours:
        yield deleted("policies of role", names.role, "delete_policies", policies=list(ours))
