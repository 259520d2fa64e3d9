"""What runs for a production variant: instances of one type, or a serverless container that is
started when it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.aws.answers import validation

Configuration = Any  # moto's, as hosting.py makes it
_COUNT, _WEIGHT = "DesiredInstanceCount", "DesiredWeight"


@dataclass(frozen=True)
class Fleet:
    """`count` instances of `kind`, which get `weight` of the requests; `serverless` is a
    ServerlessConfig, of which no instance runs. A `shadow` answers nobody."""

    kind: str = "ml.m5.large"
    count: int = 1
    weight: float = 1.0
    model: str = ""
    serverless: Mapping[str, Any] = field(default_factory=dict)
    shadow: bool = False


Fleets = dict[str, Fleet]  # by the variant's name


def configured(configuration: Configuration) -> Fleets:
    """Those that a configuration starts with."""
    shadows = getattr(configuration, "shadow_production_variants", None) or []
    kinds = ((configuration.production_variants, False), (shadows, True))
    return {v["VariantName"]: _fleet(v, shadow) for variants, shadow in kinds for v in variants}


def _fleet(variant: Mapping[str, Any], shadow: bool) -> Fleet:
    weight, model = variant.get("InitialVariantWeight", 1.0), variant["ModelName"]
    if serverless := variant.get("ServerlessConfig"):
        return Fleet("", 0, weight, model, serverless)
    kind, count = variant["InstanceType"], variant["InitialInstanceCount"]
    return Fleet(kind, count, weight, model, shadow=shadow)


def retained(now: Fleets, wanted: Fleets, asked: Mapping[str, Any]) -> Fleets:
    """`wanted` with what UpdateEndpoint keeps of `now`, variant by variant."""
    excluded = {
        one["VariantPropertyType"] for one in asked.get("ExcludeRetainedVariantProperties", [])
    }
    if not asked.get("RetainAllVariantProperties"):
        if excluded:
            raise validation("ExcludeRetainedVariantProperties without RetainAllVariantProperties.")
        return wanted
    kept = {}
    for name, fleet in wanted.items():
        old = now.get(name, fleet)
        count = fleet.count if _COUNT in excluded or fleet.serverless else old.count
        weight = fleet.weight if _WEIGHT in excluded else old.weight
        kept[name] = replace(fleet, count=count, weight=weight)
    return kept


def described(fleets: Fleets, *, shadow: bool) -> list[dict[str, Any]]:
    """ProductionVariantSummary of each."""
    return [_summary(name, fleet) for name, fleet in fleets.items() if fleet.shadow is shadow]


def _summary(name: str, fleet: Fleet) -> dict[str, Any]:
    weights = {"CurrentWeight": fleet.weight, "DesiredWeight": fleet.weight}
    summary: dict[str, Any] = {"VariantName": name, **weights}
    if fleet.serverless:
        sizes = dict(fleet.serverless)
        return {**summary, "CurrentServerlessConfig": sizes, "DesiredServerlessConfig": sizes}
    return {**summary, "CurrentInstanceCount": fleet.count, "DesiredInstanceCount": fleet.count}


def instances(fleets: Iterable[Fleet], kind: str = "") -> int:
    """How many instances (of `kind`) they have."""
    return sum(fleet.count for fleet in fleets if kind in ("", fleet.kind))


def concurrency(fleets: Iterable[Fleet]) -> int:
    """How many requests at a time their serverless containers may get."""
    return sum(fleet.serverless.get("MaxConcurrency", 0) for fleet in fleets)
