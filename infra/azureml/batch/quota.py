"""Does the subscription's quota suffice for a job's instances? Clusters take from Azure Machine
Learning's own quota of cores: by VM family and in all, and low-priority ones from another."""

from __future__ import annotations

from collections.abc import Iterator

from onnxferry.infra.clients.azure_quota import MACHINE_LEARNING, AzureQuota, Usage, VmSize
from onnxferry.infra.errors import CloudError


def shortage(
    azure: AzureQuota, size: str, instances: int, *, low_priority: bool
) -> tuple[str, tuple[str, ...]]:
    """What is lacking, in words ("" where nothing, or unknown), and notes."""
    try:
        known = azure.size(size)
        usages = azure.usages(MACHINE_LEARNING) if known else []
    except CloudError as e:
        return "", (f"The quota was not checked: {e}",)
    if known is None:
        return "", (f"The quota was not checked: the region has no VM size {size}.",)
    lacking = _lacking(known, instances, usages, low_priority)
    return "; ".join(lacking), ()


def _lacking(size: VmSize, instances: int, usages: list[Usage], low: bool) -> Iterator[str]:
    cores = size.cores * instances
    for one in usages:
        if one.limit >= 0 and _counts(one, size, low) and cores > one.limit - one.used:
            free = max(0, one.limit - one.used)
            yield (
                f"{instances} x {size.name} needs {cores} cores, and {one.words} has {free} of"
                f" {one.limit} free; ask for more, or set fewer --instances"
            )


def _counts(usage: Usage, size: VmSize, low: bool) -> bool:
    """Whether cores of `size` count there."""
    said = f"{usage.words} {usage.kind}".lower().replace("-", "").replace(" ", "")
    if ("lowpriority" in said) is not low:
        return False
    in_all = "total" in said and ("cores" in said or "vcpus" in said)
    return usage.name.lower() == size.family.lower() or in_all
