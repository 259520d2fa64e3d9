"""A shadow: the version that serves goes on serving, and a new one gets a copy of a part of its
requests, beside it at the same endpoint. What both answer is captured, and `compare` compares it.

Such a configuration has the production variant of the version that serves, and bears its version.
The history does not name it: the new version has proved itself as a candidate, and serves nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.costs import HOURLY
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.fleet import (
    Fleets,
    Variant,
    Variants,
    configured,
    running,
    variants_of,
)
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.rollout import Goal
from onnxferry.infra.sagemaker.state import BROKEN, CurrentState
from onnxferry.system.errors import UsageError

_SAME = ("ModelName", "InstanceType")  # what two versions differ by


@dataclass(frozen=True)
class ShadowTest:
    """`config` is CreateEndpointConfig's request, and `goal` how the endpoint comes to it."""

    config: Mapping[str, Any]
    goal: Goal

    @property
    def name(self) -> str:
        """Of the configuration."""
        return self.goal.config

    @property
    def variant(self) -> Variant:
        """The shadow variant."""
        found: Variant = self.config["ShadowProductionVariants"][0]
        return found

    @property
    def fleet(self) -> Fleets:
        """What the shadow runs on."""
        return configured(self.variant)


def is_wanted(state: CurrentState, desired: DesiredState) -> bool:
    """Whether what is desired comes as a shadow: something else serves that has proved itself.
    Raises UsageError where that can have none."""
    main, serving = state.main, state.variant
    if not state.names.settings.rollout.shadow or main is None or serving is None:
        return False
    if not main.history or main.state in {*BROKEN, "Deleting"} or _on_its_way(state, desired):
        return False
    if all(serving.get(key) == desired.variant.get(key) for key in _SAME):
        return False
    _refuse_others(state.names, serving)
    return True


def _refuse_others(names: Names, serving: Variants) -> None:
    """Raise UsageError where what serves can have no shadow."""
    if serving.mode == "realtime" and len(serving.all) == 1:
        return
    what = f"{len(serving.all)} production variants" if serving.mode == "realtime" else serving.mode
    raise UsageError(
        f"AWS {names.region}, endpoint {names.endpoint}: SageMaker has a shadow beside one"
        f" production variant on instances, and what serves is {what}. Deploy with --set"
        " rollout.shadow=0, which puts the new version live; the next one can be its shadow"
    )


def _on_its_way(state: CurrentState, desired: DesiredState) -> bool:
    """Whether an interrupted run was putting it live already."""
    return bool(state.main and state.main.pending == desired.config["EndpointConfigName"])


def shadow_test(state: CurrentState, desired: DesiredState, url: str) -> ShadowTest:
    """The shadow of `desired` beside what serves, whose package is at `url`."""
    config = _config(state, desired)
    proof = desired.config["EndpointConfigName"]
    candidate = Goal(proof, desired.package.url, desired.variant)
    goal = Goal(config["EndpointConfigName"], url, variants_of(config), candidate=candidate)
    return ShadowTest(config, goal)


def _config(state: CurrentState, desired: DesiredState) -> dict[str, Any]:
    """That of the new version, but for its variants."""
    names, other, serving = state.names, desired.config, dict(state.variant or {})
    version = names.version_of(state.main.config if state.main else "")
    weight = serving.get("InitialVariantWeight", 1.0) * names.settings.rollout.shadow / 100
    name = f"shadow-{other['EndpointConfigName'].removeprefix(f'{names.endpoint}-')}"
    shadow = {**desired.variant, "VariantName": name, "InitialVariantWeight": weight}
    own = {k: v for k, v in other.items() if k not in ("EndpointConfigName", "Tags")}
    content = {**own, "ProductionVariants": [serving], "ShadowProductionVariants": [shadow]}
    named = {"EndpointConfigName": names.of(version, content)}
    return {**named, **content, "Tags": names.tags(version)}


def percent(serving: Variant, shadow: Variant) -> float:
    """Which part of the requests the shadow gets a copy of, in percent."""
    weights = [one.get("InitialVariantWeight", 1.0) for one in (shadow, serving)]
    return round(100 * weights[0] / weights[1], 3) if weights[1] else 0.0


def version(names: Names, shadow: Variant) -> str:
    """Of a shadow variant; "" where its model is not ours."""
    return names.version_of(shadow["ModelName"])


def told(names: Names, serving: Variant, shadow: Variant, counts: Mapping[str, int]) -> str:
    """A shadow that is there, in words."""
    part = f"{percent(serving, shadow):g} % of the requests"
    runs = running(shadow, counts)
    return f"{version(names, shadow)} gets a copy of {part}, on {runs}"


def notes(state: CurrentState, desired: DesiredState, beside: ShadowTest | None) -> tuple[str, ...]:
    """What is said of it in a plan."""
    wanted = state.names.settings.rollout.shadow
    if beside is None and wanted and state.variant is None:
        return ("Nothing serves yet that it could be the shadow of: it takes all requests.",)
    if beside is None:
        return ()
    part, runs = f"a copy of {wanted} % of the requests", f"{beside.fleet} ({HOURLY})"
    live = state.version
    return (
        f"{live} goes on serving. {desired.version} gets {part} as a shadow, on {runs}, and answers"
        " nobody.",
    )
