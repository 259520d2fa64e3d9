"""How many instances run at most while a version is replaced, and whether the quota suffices.

Managed online endpoints take from Azure Machine Learning's own quota of cores, by VM family and in
all; the quota of virtual machines (Microsoft.Compute) is another one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from onnxferry.infra.azureml import plan
from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.clients.azure_quota import MACHINE_LEARNING, AzureQuota, Usage, VmSize
from onnxferry.infra.errors import CloudError

_TOTAL = re.compile(r"total.*dedicated.*(cores|vcpus)")
_RESERVE = 1.2  # of most sizes Azure reserves a fifth more, for its own upgrades


@dataclass(frozen=True)
class Need:
    """`instances` of `size` are to be made, after as many as `freed` of that size have gone."""

    size: str
    instances: int
    freed: int


def need(state: CurrentState, desired: DesiredState) -> Need:
    """What the candidate needs."""
    size = str(desired.settings["instance_type"])
    going = (state.ours[name] for name in plan.outdated(state, desired))
    freed = sum(one.instances for one in going if one.instance_type == size)
    return Need(size, plan.instances(state, desired), freed)


def peak(state: CurrentState, desired: DesiredState) -> str:
    """What runs at most at a time: the candidate beside all that does not go before it."""
    gone = {*plan.outdated(state, desired), desired.deployment}
    running = Counter({str(desired.settings["instance_type"]): plan.instances(state, desired)})
    for one in state.ours.values():
        if one.name not in gone:
            running[one.instance_type] += one.instances
    return " and ".join(f"{count} x {size}" for size, count in sorted(running.items()))


def reach(state: CurrentState, desired: DesiredState) -> Need | None:
    """What the candidate needs for the most instances that it may be scaled to; None where it is
    not scaled."""
    if desired.scaling is None:
        return None
    there = state.ours.get(desired.deployment)
    need_ = need(state, desired)
    freed = need_.freed + (there.instances if there else 0)
    return Need(need_.size, desired.scaling.most, freed)


def asked(
    quota: AzureQuota, need: Need | None, scaled: Need | None = None
) -> tuple[str, tuple[str, ...]]:
    """What the quota lacks ("" where nothing, or unknown) for what is needed now, and notes, of
    what it may be `scaled` to, too."""
    wanted = need or scaled
    if wanted is None:
        return "", ()
    try:
        size = quota.size(wanted.size)
        usages = quota.usages(MACHINE_LEARNING) if size else []
    except CloudError as e:
        return "", (f"The quota was not checked: {e}",)
    if size is None:
        return "", (f"The quota was not checked: the region has no VM size {wanted.size}.",)
    shortage, notes = judged(need, size, usages) if need else ("", ())
    lacking = judged(scaled, size, usages)[0] if scaled else ""
    said = f"Autoscaling cannot reach its most instances: {lacking}."
    return shortage, (*notes, *([said] if lacking else []))


def judged(need: Need, size: VmSize, usages: Sequence[Usage]) -> tuple[str, tuple[str, ...]]:
    """What is lacking, and what is not sure: Azure reserves a fifth more cores on some sizes and
    not on others, so that only what does not fit without them is lacking."""
    lacking, unsure = list[str](), list[str]()
    for one in (one for one in usages if one.limit >= 0 and _counts(one, size)):
        free, least, most = one.limit - one.used, *(_cores(size, need, f) for f in (1, _RESERVE))
        where = f"{one.words} has {max(0, free)} of {one.limit} free"
        new = f"{need.instances} x {need.size}"
        if least > free:
            lacking.append(f"{new} needs {least} cores more, and {where}")
        elif most > free:
            reserved = "as Azure reserves a fifth more on most sizes"
            unsure.append(f"{new} may need {most} cores more, {reserved}, and {where}.")
    return "; ".join(lacking), tuple(unsure)


def _counts(usage: Usage, size: VmSize) -> bool:
    """Whether dedicated cores of `size` count there."""
    by_family = usage.name.lower() == size.family.lower() and "low" not in usage.kind.lower()
    return by_family or bool(_TOTAL.search(usage.words.lower()))


def _cores(size: VmSize, need: Need, factor: float) -> int:
    """Cores to be had beyond those that are freed before."""
    return max(0, (ceil(factor * need.instances) - ceil(factor * need.freed)) * size.cores)
