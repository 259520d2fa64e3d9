"""What runs now, what will run, and the most that runs in between: instances, or the containers of
a serverless endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

COUNT, WEIGHT = "DesiredInstanceCount", "DesiredWeight"
EXCLUDED = "ExcludeRetainedVariantProperties"
Variant = Mapping[str, Any]


@dataclass(frozen=True)
class Variants(Mapping[str, Any]):
    """The production variants of an endpoint configuration; as a mapping, the first of them.
    `asynchronous` is its AsyncInferenceConfig, empty where it has none. `shadows` answer nobody."""

    all: tuple[Variant, ...]
    asynchronous: Mapping[str, Any] = field(default_factory=dict)
    shadows: tuple[Variant, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.all[0][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.all[0])

    def __len__(self) -> int:
        return len(self.all[0])

    @property
    def alone(self) -> Variants:
        """Those that answer."""
        return replace(self, shadows=())

    @property
    def names(self) -> frozenset[str]:
        """Those of the variants."""
        return frozenset(one["VariantName"] for one in self.all)

    @property
    def mode(self) -> str:
        """ "realtime", "serverless" or "async", as deploy.toml has it."""
        if self.asynchronous:
            return "async"
        return "serverless" if "ServerlessConfig" in self else "realtime"


def variants_of(config: Mapping[str, Any]) -> Variants:
    """Those of a configuration, as it is asked for or described."""
    answering, shadows = (
        tuple(config.get(f"{kind}ProductionVariants") or ()) for kind in ("", "Shadow")
    )
    return Variants(answering, config.get("AsyncInferenceConfig") or {}, shadows)


@dataclass(frozen=True)
class Fleet:
    """`count` instances of one type."""

    instance_type: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.instance_type}"


@dataclass(frozen=True)
class Containers:
    """Serverless containers of `memory_mb`: `concurrency` at most, `provisioned` of them always."""

    memory_mb: int
    concurrency: int
    provisioned: int = 0

    def __str__(self) -> str:
        ready = f", {self.provisioned} always ready" if self.provisioned else ""
        return f"at most {self.concurrency} serverless containers of {self.memory_mb} MB{ready}"


@dataclass(frozen=True)
class Fleets:
    """One of each instance type, or the serverless containers."""

    parts: tuple[Fleet | Containers, ...] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))

    @property
    def count(self) -> int:
        """All instances."""
        return sum(part.count for part in self.parts if isinstance(part, Fleet))


def configured(variant: Variant) -> Fleets:
    """What variants start with."""
    return added(_started(one) for one in (*_all(variant), *shadows_of(variant)))


def running(variant: Variant, counts: Mapping[str, int]) -> Fleets:
    """What runs of variants, so many instances of each by its name; of a shadow that is new, what
    it starts with."""
    answering = (_started(one, counts.get(one["VariantName"], 0)) for one in _all(variant))
    shadows = (_started(one, counts.get(one["VariantName"])) for one in shadows_of(variant))
    return added((*answering, *shadows))


def shadows_of(variant: Variant) -> tuple[Variant, ...]:
    """The variants that answer nobody."""
    return variant.shadows if isinstance(variant, Variants) else ()


def _all(variant: Variant) -> tuple[Variant, ...]:
    return variant.all if isinstance(variant, Variants) else (variant,)


def _started(variant: Variant, count: int | None = None) -> Fleet | Containers:
    if sizes := variant.get("ServerlessConfig"):
        provisioned = sizes.get("ProvisionedConcurrency", 0)
        return Containers(sizes["MemorySizeInMB"], sizes["MaxConcurrency"], provisioned)
    own = variant["InitialInstanceCount"] if count is None else count
    return Fleet(variant["InstanceType"], own)


def retention(
    serving: Variant | None, wanted: Variant, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The parameters of UpdateEndpoint that keep the number of instances that run and their
    weights, which somebody or an autoscaling policy has chosen, unless the configuration's own
    change, or nothing runs (`counts`), so that nothing would answer the golden request."""
    pairs = _pairs(serving, wanted)
    if not pairs:
        return {}
    asleep = counts is not None and not any(counts.values())
    changed = [
        kind
        for kind, key in ((COUNT, "InitialInstanceCount"), (WEIGHT, "InitialVariantWeight"))
        if any(old.get(key) != new.get(key) for old, new in pairs)
        or (asleep and kind == COUNT)
        or (shadows_of(wanted) and kind == WEIGHT)  # the part of the requests that one gets
    ]
    excluded = [{"VariantPropertyType": kind} for kind in changed]
    kept: dict[str, Any] = {"RetainAllVariantProperties": True}
    return {**kept, EXCLUDED: excluded} if excluded else kept


def _pairs(serving: Variant | None, wanted: Variant) -> list[tuple[Variant, Variant]]:
    """Each variant that serves with its successor; none where they are not the same ones, or not
    all on instances."""
    old = {one["VariantName"]: one for one in _all(serving)} if serving else {}
    new = {one["VariantName"]: one for one in _all(wanted)}
    both = (*old.values(), *new.values())
    if set(old) != set(new) or any("ServerlessConfig" in one for one in both):
        return []
    return [(old[name], new[name]) for name in old]


def updated(serving: Variant | None, counts: Mapping[str, int], wanted: Variant) -> Fleets:
    """What runs after such an update, where `counts` instances are there now."""
    return running(wanted, counts) if _keeps(serving, counts, wanted) else configured(wanted)


def fewest(serving: Variant | None, counts: Mapping[str, int], wanted: Variant) -> int:
    """The instances of the smallest production variant after such an update; 0 of a serverless
    one."""
    kept = counts if _keeps(serving, counts, wanted) else {}
    own = ((one["VariantName"], one.get("InitialInstanceCount", 0)) for one in _all(wanted))
    return min(kept.get(name, count) for name, count in own)


def _keeps(serving: Variant | None, counts: Mapping[str, int], wanted: Variant) -> bool:
    asked = retention(serving, wanted, counts)
    others = [one["VariantPropertyType"] for one in asked.get(EXCLUDED, [])]
    return bool(asked) and COUNT not in others


def added(fleets: Iterable[Fleet | Containers | Fleets]) -> Fleets:
    """All that run at a time: one fleet for each type."""
    counts: dict[str, int] = {}
    containers: list[Containers] = []
    for part in (p for one in fleets for p in (one.parts if isinstance(one, Fleets) else (one,))):
        if isinstance(part, Fleet):
            counts[part.instance_type] = counts.get(part.instance_type, 0) + part.count
        else:
            containers.append(part)
    together = [_together(containers)] if containers else []
    return Fleets((*(Fleet(*each) for each in counts.items()), *together))


def _together(containers: list[Containers]) -> Containers:
    """Those of the largest memory, as many as all of them are."""
    most = max(one.memory_mb for one in containers)
    concurrency, ready = (
        sum(getattr(one, key) for one in containers) for key in ("concurrency", "provisioned")
    )
    return Containers(most, concurrency, ready)
