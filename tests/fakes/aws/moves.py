"""Which updates of an endpoint AWS refuses: from one way of serving to another, and of variants
that are autoscaled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tests.fakes.aws.answers import validation
from tests.fakes.aws.fleets import Configuration, Fleets, configured


def check(name: str, now: Configuration, wanted: Configuration, asked: Mapping[str, Any]) -> None:
    """Serverless comes to instances and never back; asynchronous stays asynchronous, and nothing
    else becomes it. A blue/green policy needs the same variants."""
    before, after = configured(now), configured(wanted)
    if any(f.serverless for f in after.values()) and not all(f.serverless for f in before.values()):
        raise validation(
            f"Updating a real-time inference endpoint to a serverless endpoint is not supported:"
            f" {name}."
        )
    if now.async_inference_config and not wanted.async_inference_config:
        raise validation(
            f"The AsyncInferenceConfig parameter cannot be removed from this endpoint {name}. To"
            " change the endpoint type, create a new endpoint."
        )
    if wanted.async_inference_config and not now.async_inference_config:
        raise validation(
            f"The AsyncInferenceConfig parameter cannot be added to this endpoint {name}. To"
            " change the endpoint type, create a new endpoint."
        )
    policy = asked.get("DeploymentConfig", {}).get("BlueGreenUpdatePolicy")
    if policy and _answering(before) != _answering(after):
        raise validation(
            "The new endpoint configuration must have the same variant names as the old endpoint"
            " configuration when a blue/green deployment is used."
        )


def _answering(fleets: Fleets) -> set[str]:
    return {name for name, fleet in fleets.items() if not fleet.shadow}


def check_scaled(scaled: Collection[str], now: Fleets, wanted: Fleets) -> None:
    """A variant that Application Auto Scaling knows keeps its instance type."""
    lost = [v for v in scaled if v in now and (v not in wanted or wanted[v].kind != now[v].kind)]
    if lost:
        raise validation(
            f'The variant(s) "[{", ".join(lost)}]" must be deregistered as scalable targets with'
            " AWS Auto Scaling before they can be removed or have their instance type updated."
        )
