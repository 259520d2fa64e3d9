"""The traffic of a shadow and of what serves, out of captured data and CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound
from onnxferry.infra.sagemaker import metrics, shadow, state
from onnxferry.infra.sagemaker.captured import CapturedData
from onnxferry.infra.sagemaker.fleet import Variant
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.shadow_traffic import (
    CapturedAnswer,
    Period,
    ShadowTraffic,
    VersionTraffic,
    first_asked,
)
from onnxferry.system.exits import program


def shadow_traffic(
    clients: AwsClients, names: Names, there: CurrentState, period: Period
) -> ShadowTraffic:
    """See infra.cloud.Shadowed."""
    serving, beside = _variants(names, there)
    config = there.main.config if there.main else ""
    made = state.described_config(clients, config)["CreationTime"]
    since = max(made, period.since) if period.since else made
    data = CapturedData(clients, names, there.captured, since)
    copies = data.newest(beside["VariantName"], period.limit)
    earlier = replace(data, since=first_asked(copies, since))
    originals = earlier.wanted(serving["VariantName"], _Wanted.of(copies))

    def version(one: Variant, version: str, answers: Iterable[CapturedAnswer]) -> VersionTraffic:
        name, when = one["VariantName"], (since, period.until)
        found = metrics.of_variant(clients, names.endpoint, name, *when)
        return VersionTraffic(name, version, tuple(answers), found)

    live = version(serving, there.version, originals)
    other = version(beside, shadow.version(names, beside), copies)
    where = f"AWS {names.region}, endpoint {names.endpoint}"
    began = since.isoformat(timespec="seconds")
    notes = (*_notes(there, copies, period.limit), *clients.notes)
    part = shadow.percent(serving, beside)
    return ShadowTraffic(where, began, part, live, other, notes)


def _variants(names: Names, there: CurrentState) -> tuple[Variant, Variant]:
    """What serves, and its shadow. Raises NotFound without one."""
    if there.main and there.variant and there.shadow and there.captured:
        return there.variant, there.shadow
    how = f"{program('deploy')} --set rollout.shadow=20, with a table [sagemaker.capture]"
    raise NotFound(
        f"AWS {names.region}, endpoint {names.endpoint}: no version runs there as a shadow, so"
        f" there is nothing to compare; make one: {how}"
    )


@dataclass(frozen=True)
class _Wanted:
    """Whether an answer is to one of the requests that the shadow answered."""

    keys: frozenset[str]

    @classmethod
    def of(cls, copies: Iterable[CapturedAnswer]) -> _Wanted:
        return cls(frozenset(key for one in copies for key in one.keys))

    def __call__(self, answer: CapturedAnswer) -> bool:
        return not self.keys.isdisjoint(answer.keys)


def _notes(there: CurrentState, copies: tuple[CapturedAnswer, ...], limit: int) -> Iterator[str]:
    if len(copies) == limit:
        yield f"Only the newest {limit} answers of the shadow were read (--limit)."
    if copies and not any(one.request for one in copies):
        yield (
            "The requests were not captured (sagemaker.capture.redact): only those are paired that"
            " have the same id in both."
        )
