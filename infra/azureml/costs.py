"""What an online endpoint of AzureML costs: its instances by the hour while they are there, whether
they are asked or not. A Kubernetes cluster is billed as such, and not here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from onnxferry.infra.prices.estimate import CostEstimate, Range
from onnxferry.infra.prices.hourly import hourly
from onnxferry.infra.prices.pricing import Asked
from onnxferry.infra.target_tables import AzureML
from onnxferry.infra.target_tables.azureml import Kubernetes

_SCALED = (
    "The least is with scaling.min all month, the most with scaling.max, or as schedule has it"
)
_KEPT = "The most is with the version that served before, which keep_previous keeps running"
_MIRRORED = "The most is with a version that gets a copy of the requests (rollout.mirror) all month"
_CLUSTER = (
    "the cluster is yours, and billed by its nodes, whether pods of this endpoint run there or not"
)
_CAPTURED = ", captured requests and answers"
_NOT_COUNTED = "Not counted: storage and the image in the workspace's registry{}, logs, traffic"
_START_MINUTES = 20  # until a candidate takes its first requests, as `plan` says it

_Asked = Asked[AzureML]


def estimate(asked: _Asked) -> CostEstimate:
    """For the instances that will run, which somebody may have scaled, all month."""
    settings = asked.settings
    load = f"{_count(_running(asked))} x {settings.serving.instance_type}"
    if isinstance(settings.serving, Kubernetes):
        return CostEstimate(asked.region, f"{load} of a cluster", unknown=_CLUSTER)
    (least, most), beside = _running(asked), _beside(asked)
    fleets = {settings.serving.instance_type: (least, most + beside)}
    found = hourly(asked, fleets, *_assumed(settings), load=load)
    if beside:
        return found
    return replace(found, assumptions=(_change(asked, found), *found.assumptions))


def _beside(asked: _Asked) -> Decimal:
    """The most instances that are there all month beside what serves: those of the version before,
    which rests at scaling.min, or those of one that gets a copy of the requests."""
    settings, (_, most) = asked.settings, _running(asked)
    if settings.rollout.mirror:
        return most
    resting = settings.scaling.min if settings.scaling else asked.count
    return Decimal(resting if settings.keep_previous else 0)


def _running(asked: _Asked) -> Range:
    """The least and the most instances of what serves."""
    scaling, count = asked.settings.scaling, Decimal(asked.count)
    if scaling is None:
        return count, count
    least = [one.min for one in scaling.schedule if one.min is not None]
    most = [one.max for one in scaling.schedule if one.max is not None]
    return Decimal(min([scaling.min, *least])), Decimal(max([scaling.max, *most]))


def _assumed(settings: AzureML) -> Iterator[str]:
    if settings.scaling:
        yield _SCALED
    if settings.rollout.mirror:
        yield _MIRRORED
    elif settings.keep_previous:
        yield _KEPT
    yield _NOT_COUNTED.format(_CAPTURED if settings.capture else "")


def _change(asked: _Asked, found: CostEstimate) -> str:
    """What a change of version costs besides: the new one runs beside the old one until it has all
    requests."""
    _, most = _running(asked)
    minutes = _START_MINUTES + asked.settings.rollout.step_seconds // 60
    said = f"Each change of version runs {most:f} more for about {minutes} minutes"
    if not found.hour:
        return said
    return f"{said}: some {found.hour[1] * minutes / 60:.2f} {found.currency}"


def _count(running: Range) -> str:
    least, most = running
    return f"{least:f}" if least == most else f"{least:f} to {most:f}"
