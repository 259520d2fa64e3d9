"""The plans that delete what deploying made: all of it, from the endpoint back to the bucket, or
what has not proved itself. What the user gave stays, and what others use. The default bucket goes
with the last endpoint that has packages in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.infra.sagemaker.plan import TARGET, deleted, deleted_hosting, deleted_packages
from onnxferry.infra.sagemaker.rollout import deleted_found
from onnxferry.infra.sagemaker.state import CurrentState, Endpoint, OwnedResources


def delete(
    state: CurrentState,
    owned: OwnedResources,
    policies: Collection[str],
    used: Mapping[str, str],
    *,
    bucket: bool,
) -> Plan:
    """Steps for all that is `owned`, the role with its `policies`, and the bucket if `bucket`.
    What is `used` by others (name -> by what) stays, with the package and the role that it needs.
    Packages go before the models that say where they are: a broken deletion can be resumed."""
    names, last = state.names, []
    needed = {name for name in used if name in state.models}
    if owned.role and not needed:
        last.append(deleted("role", names.role, "delete_role", policies=list(policies)))
    if bucket and not needed:
        request = {"Bucket": names.bucket, **names.owner}
        last.append(deleted("bucket", names.bucket, "delete_bucket", **request))
    main = (state.candidate, state.main)
    configs, models = (set(kind) - set(used) for kind in (state.configs, state.models))
    kept = {*used, *state.foreign}
    steps = _steps(state, owned, (configs, models), kept, [one for one in main if one])
    logs = (deleted("log group", group, "delete_logs", logGroupName=group) for group in owned.logs)
    notes = tuple(f"{name} stays: {by} uses it." for name, by in sorted(used.items()))
    summary = Summary(names.place, minutes=(1, 5), notes=notes)
    return Plan(TARGET, "delete", names.endpoint, (*steps, *logs, *last), summary)


def unproved(state: CurrentState) -> tuple[set[str], set[str]]:
    """Configurations and models of versions that neither serve, nor are on their way, nor served
    before."""
    main = state.main
    serve = (main.config, main.pending) if main and main.history else ()
    kept = {*serve, *(main.history if main else ())}
    versions = {state.names.version_of(config) for config in kept}
    models = {m for m in state.models if state.names.version_of(m) not in versions}
    return {config for config in state.configs if config not in kept}, models


def delete_unproved(state: CurrentState, owned: OwnedResources, used: Mapping[str, str]) -> Plan:
    """Steps for the candidate, an endpoint that never proved itself, and what only they need."""
    main = state.main if state.main and not state.main.history else None
    hosting = unproved(state)
    configs, models = (names - set(used) for names in hosting)
    kept = {*used, *state.foreign, *set(state.configs) - configs, *set(state.models) - models}
    endpoints = [one for one in (state.candidate, main) if one]
    steps = _steps(state, owned, (configs, models), kept, endpoints)
    summary = Summary(state.names.place, minutes=(1, 5))
    purpose = "delete what is not proved of"
    return Plan(TARGET, purpose, state.names.endpoint, tuple(steps), summary)


def _steps(
    state: CurrentState,
    owned: OwnedResources,
    hosting: tuple[Collection[str], Collection[str]],
    kept: Collection[str],
    endpoints: Collection[Endpoint],
) -> Iterator[Step]:
    yield from map(deleted_found, endpoints)
    versions = {state.names.version_of(name) for name in kept}
    for packages in owned.packages:
        yield from deleted_packages(packages, versions)
        if packages.uploads and not kept:
            name = f"s3://{packages.bucket}/{packages.prefix}"
            rest = {"bucket": packages.bucket, "keys": [], "uploads": packages.uploads}
            yield deleted("unfinished uploads", name, "delete_package", **rest)
    yield from deleted_hosting(*map(sorted, hosting))
