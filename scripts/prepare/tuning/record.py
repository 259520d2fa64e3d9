"""What a tuning found: for model_spec.json (data), report.md (Markdown) and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onnxferry.scripts import tables
from onnxferry.scripts.benchmark import figures
from onnxferry.scripts.benchmark.rounds import Round
from onnxferry.scripts.prepare.tuning.race import TIE, Gain
from onnxferry.scripts.prepare.tuning.scenario import Scenario
from onnxferry.scripts.prepare.tuning.search import Outcome, Trial
from onnxferry.scripts.prepare.tuning.space import Changes, told


@dataclass(frozen=True)
class Tuning:
    """`outcome` of a search for `scenario` on `host` (as prepare records where it measured) with
    `asked`, requests of `inputs` each; `fixed`: options that were set by hand, and stay."""

    scenario: Scenario
    host: dict[str, Any]
    asked: str
    inputs: int
    fixed: Changes
    outcome: Outcome

    @property
    def on(self) -> str:
        """The host, such as: AMD EPYC (avx2) with 2 CPUs."""
        kind = f" ({self.host['cpu']})" if self.host["cpu"] else ""
        cores = self.host["cores"]
        return f"{self.host['model']}{kind} with {cores} CPU{'s' if cores > 1 else ''}"


def data(tuning: Tuning) -> dict[str, Any]:
    """`tuned` of the spec's provenance: `options` were set, measured `on` this host."""
    found, proof = tuning.outcome, tuning.outcome.proof
    return {
        "scenario": tuning.scenario.name,
        "rate": tuning.scenario.rate,
        "on": tuning.host,
        "asked": tuning.asked,
        "options": dict(found.changes),
        "gain": _gain(proof.gain) if proof else None,
        "noise": round(proof.noise, 4) if proof else None,
        "tried": [_trial(trial) for trial in found.trials],
        "not_tried": [dict(changes) for changes in found.left_out],
        "seconds": round(found.seconds, 1),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    gain = _gain(trial.gain) if trial.gain else None
    return {"options": dict(trial.changes), "gain": gain, "taken": trial.taken, "why": trial.why}


def _gain(gain: Gain) -> dict[str, Any]:
    least, most = min(gain.ratios), max(gain.ratios)
    numbers = {"median": gain.median, "least": least, "most": most}
    return {**{key: round(value, 4) for key, value in numbers.items()}, "rounds": len(gain.ratios)}


def verdict(tuning: Tuning) -> str:
    """One sentence: what was set, and its gain with its range; or that nothing is better."""
    found, proof = tuning.outcome, tuning.outcome.proof
    where = f"{tuning.scenario} on {tuning.on}"
    if proof and found.changes:
        gain = f"{proof.gain} as fast as the defaults"
        return f"tuned for {where}: {told(found.changes)}: {gain}"
    return f"nothing better was found for {where}: defaults stay"


def why(tuning: Tuning) -> Iterator[str]:
    """What else is to be known of the verdict, a sentence each."""
    found, proof = tuning.outcome, tuning.outcome.proof
    count = f"{len(found.trials)} settings were tried in {found.seconds:.0f} s"
    if found.left_out:
        count += f", and the time did not suffice for {'; '.join(map(told, found.left_out))}"
    yield count
    if proof:
        noise = max(TIE, proof.noise)
        itself = f"the defaults against themselves: {proof.control}"
        yield f"{itself}, so that less than {noise:.0%} would count as noise"
    if proof and not found.changes:
        yield f"the best in the search was {proof.gain} when it was measured again: no sure gain"
    if tuning.fixed:
        yield f"{told(tuning.fixed)} was set in model_spec.json, and stays"
    if found.changes:
        fewer = f"a host with fewer than {tuning.host['cores']} CPUs warns when it loads the model"
        yield f"made for hosts like this one; {fewer}"


def markdown(tuning: Tuning) -> str:
    """The section of report.md."""
    scenario, proof = tuning.scenario, tuning.outcome.proof
    parts = [
        "## Tuning",
        f"**{_capital(verdict(tuning))}.**",
        f"Measured: {scenario.kind.what}; {tuning.asked}.",
        "\n".join(f"- {_capital(line)}." for line in why(tuning)),
    ]
    if proof:
        both = {"defaults": proof.default, "best": proof.best}
        rows = [_figures(name, rounds, tuning.inputs) for name, rounds in both.items()]
        heads = ["", "p50 ms", "p99 ms", "inputs a second", "CPU ms an input", "peak MiB"]
        parts.append(tables.markdown(heads, rows))
    tried = [[told(t.changes), str(t.gain or ""), _became(t)] for t in tuning.outcome.trials]
    if tried:
        heads = ["setting, against the best before it", "times as fast", ""]
        parts.append(tables.markdown(heads, tried))
    return "\n\n".join(parts)


def _became(trial: Trial) -> str:
    return "taken" if trial.taken else trial.why


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _figures(name: str, rounds: Sequence[Round], inputs: int) -> list[str]:
    """Latency is of a request, the rest of an input."""
    of = figures.percentiles(rounds)
    cpu = 1000 * sum(r.cpu for r in rounds) / sum(r.items * inputs for r in rounds)
    memory = max((r.memory or 0 for r in rounds), default=0) / 2**20
    speed = figures.items_per_second(rounds) * inputs
    return [
        name,
        f"{of['50.0%']:.2f}",
        f"{of['99.0%']:.2f}",
        f"{speed:.1f}",
        f"{cpu:.2f}",
        f"{memory:.0f}",
    ]
