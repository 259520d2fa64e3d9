"""What goes when an endpoint goes: all that deploying made for it, and nothing that was there
before."""

from __future__ import annotations

from onnxferry.infra.azureml.names import PREVIOUS, ROLLING
from onnxferry.infra.azureml.plan import check
from onnxferry.infra.azureml.state import Assets, CurrentState
from onnxferry.infra.plan import Action, Step


def delete(live: CurrentState, assets: Assets) -> tuple[Step, ...]:
    """The steps that delete the endpoint, if it is ours alone, and else our deployments in it; then
    what is registered, which nothing uses any more, and the files last, which tell a later run what
    may be registered."""
    steps = _endpoint(live) if live.endpoint else []
    for kind, version in assets.rows():
        name = f"{live.names.endpoint}:{version}"
        steps.append(
            Step(Action.DELETE, kind, name, "delete_asset", {"id": live.names.id(kind, version)})
        )
    if assets.files:
        facts = {"folder": live.names.folder, "files": len(assets.files)}
        steps.append(Step(Action.DELETE, "files", live.names.folder, "delete_files", facts))
    return tuple(steps)


def _endpoint(live: CurrentState) -> list[Step]:
    name = live.names.endpoint
    endpoint = live.endpoint
    if endpoint and live.is_ours(endpoint.tags) and not live.others:
        return [
            Step(
                Action.DELETE,
                "endpoint",
                name,
                "delete_endpoint",
                {"deployments": sorted(live.ours)},
            )
        ]
    steps = []
    tags = {PREVIOUS: "", ROLLING: ""}
    if live.ours and live.traffic:
        check(live)
        steps.append(
            Step(Action.UPDATE, "traffic of endpoint", name, "move", {"traffic": {}, "tags": tags})
        )
    elif endpoint and set(tags) & set(endpoint.tags):
        steps.append(Step(Action.UPDATE, "tags of endpoint", name, "move", {"tags": tags}))
    steps += [
        Step(
            Action.DELETE,
            "deployment",
            d.name,
            "delete_deployment",
            {"endpoint": name, "state": d.state},
        )
        for d in live.ours.values()
    ]
    return steps
