"""prepare --tune with a fake clock and fake rounds: what is searched, what counts as a win, and
what becomes of the time. No figure here comes from a real clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pytest

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.benchmark.rounds import Round
from onnxferry.scripts.prepare.tuning import model_processes, record, space
from onnxferry.scripts.prepare.tuning.race import LEAST, MOST, ROUNDS, Gain, Proof
from onnxferry.scripts.prepare.tuning.record import Tuning
from onnxferry.scripts.prepare.tuning.scenario import Scenario
from onnxferry.scripts.prepare.tuning.search import BUDGET, Contest, Outcome, Search
from onnxferry.system.errors import BenchmarkError, UsageError

HOST = {"cpu": "avx2", "model": "A CPU", "cores": 8}


@dataclass
class Host:
    """A host of which a test says how long a request takes with some options, in seconds, and how
    noisy it is. Its clock moves by what it plays and loads."""

    seconds: Callable[[EngineOptions], float]
    noise: float = 0.0
    load: float = 0.5
    play: float = 0.4
    answer: Callable[[EngineOptions], Any] = lambda options: {"label": "good", "score": 0.75}
    now: float = 0.0
    started: list[EngineOptions] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(0)  # noqa: S311

    @contextmanager
    def start(self, options: EngineOptions) -> Iterator[Loaded]:
        self.started.append(options)
        self.now += self.load
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield Loaded(self, options, (self.answer(options),))
        finally:
            self.at_once -= 1

    def search(self, alternatives: list[Mapping[str, Any]], **settings: Any) -> Outcome:
        contest = Contest(self.start, lambda r: r.seconds, differ, lambda: self.now)
        said: list[str] = []
        outcome = Search(contest, EngineOptions(), said.append, **settings).run(alternatives)
        assert self.at_once == 0
        assert len(said) >= len(outcome.trials)
        return outcome


@dataclass
class Loaded:
    host: Host
    options: EngineOptions
    answers: tuple[Any, ...]

    def play(self, number: int) -> Round:
        self.host.now += self.host.play
        seconds = self.host.seconds(self.options) * self.host.random.lognormvariate(
            0, self.host.noise
        )
        return Round((seconds,), seconds, 1, 2**20, cpu=seconds)


def differ(expected: Any, answered: Any) -> str | None:
    return None if expected == answered else "answer differs"


def spins(options: EngineOptions) -> float:
    """Threads that stay awake are a quarter faster, one thread is a quarter slower."""
    slower = 1.25 if options.threads == 1 else 1.0
    return slower * (0.8 if options.spin_between_runs else 1.0)


def latency(cpus: int = 2) -> list[Mapping[str, Any]]:
    return space.alternatives("latency", cpus, {})


def tuning(outcome: Outcome, **changes: Any) -> Tuning:
    values = {"scenario": Scenario("latency"), "host": HOST, "asked": "8 given inputs", "inputs": 1}
    return Tuning(**{**values, "fixed": {}, "outcome": outcome, **changes})


def test_every_engine_option_is_a_row_of_the_search_or_is_said_not_to_be_tuned() -> None:
    searched = {option for row in space.SPACE for option in row.options}
    assert searched | set(space.NOT_TUNED) == {f.name for f in fields(EngineOptions)}
    assert not searched & set(space.NOT_TUNED)


@pytest.mark.parametrize("cpus", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("scenario", space.ALL)
def test_what_is_tried_are_options_that_are_not_what_the_host_decides_by_itself(
    scenario: str, cpus: int
) -> None:
    tried = space.alternatives(scenario, cpus, {})
    for changes in tried:
        assert changes == space.differences(EngineOptions(**changes))
        assert 1 <= changes.get("threads", 1) < max(2, cpus)
        assert changes.get("threads", 1) * changes.get("parallel_runs", 1) <= cpus
    assert len({tuple(c.items()) for c in tried}) == len(tried)
    assert any("threads" in c for c in tried) == (cpus > 1)
    assert any("spin_duration_us" in c for c in tried) == (cpus > 1)
    assert any("shared_runs" in c for c in tried) == (scenario != "latency")


def test_options_that_were_set_by_hand_are_not_searched() -> None:
    tried = space.alternatives("throughput", 4, {"threads": 2, "arena": False})
    assert not any({"threads", "arena"} & set(changes) for changes in tried)
    assert {"prepack": False} in tried and {"parallel_runs": 1} in tried


def test_what_is_surely_faster_is_taken_and_proved_against_the_defaults() -> None:
    host = Host(spins, noise=0.01)
    found = host.search(latency())
    assert found.changes == {"spin_duration_us": 1000, "spin_between_runs": True}
    assert found.proof and found.proof.won
    assert found.proof.gain.median == pytest.approx(1.25, rel=0.02)
    assert len(found.proof.gain.ratios) == MOST
    default, best = EngineOptions(), EngineOptions(spin_duration_us=1000, spin_between_runs=True)
    assert host.started[-3:] == [default, default, best]
    # what comes after is tried on top of it, and what is slower is given up early
    assert {"spin_duration_us": 1000, "spin_between_runs": True, "arena": False} in [
        t.changes for t in found.trials
    ]
    (one_thread,) = [t for t in found.trials if t.changes == {"threads": 1}]
    assert one_thread.gain and len(one_thread.gain.ratios) < ROUNDS and not one_thread.taken
    # two models in memory while it searches, three in the last race
    assert host.most_at_once == 3


def test_gains_add_up() -> None:
    def seconds(options: EngineOptions) -> float:
        return spins(options) * (1 if options.arena else 0.9)

    found = Host(seconds).search(latency())
    assert found.changes == {"spin_duration_us": 1000, "spin_between_runs": True, "arena": False}
    assert found.proof and found.proof.gain.median == pytest.approx(1 / 0.72)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.5])
def test_noise_is_no_win(noise: float) -> None:
    """Of a hundred searches among equals one may end with a win, by the sign test of the last
    race."""
    wins = 0
    for seed in range(100):
        host = Host(lambda options: 1.0, noise)
        host.random.seed(seed)
        found = host.search(latency())
        wins += bool(found.changes)
    assert wins <= 1
    said = record.verdict(tuning(replace(found, changes={})))
    assert said == "nothing better was found for latency on A CPU (avx2) with 8 CPUs: defaults stay"


def test_a_gain_that_is_larger_than_the_noise_is_found() -> None:
    def seconds(options: EngineOptions) -> float:
        return 1.0 if options.arena else 1 / 1.2

    wins = 0
    for seed in range(20):
        host = Host(seconds, 0.04)
        host.random.seed(seed)
        wins += "arena" in host.search(latency()).changes
    assert wins >= 15


def test_a_gain_within_what_the_defaults_seem_to_gain_over_themselves_is_none() -> None:
    faster = Gain((1.06,) * 9)
    assert Proof(faster, Gain((1.01, 0.99, 1.0) * 3), (), ()).won
    assert not Proof(faster, Gain((1.1, 0.9, 1.08) * 3), (), ()).won
    assert not Proof(Gain((1.02,) * 9), Gain((1.0,) * 9), (), ()).won  # too little to matter
    assert not Proof(Gain((1.5, 1.5, 0.9, 1.5, 0.9)), Gain((1.0,) * 5), (), ()).won  # not sure


def test_what_was_faster_in_the_search_alone_leaves_the_defaults() -> None:
    """As where another program slowed the default meanwhile."""
    host = Host(lambda options: 1.0)
    host.seconds = lambda o: 0.5 if o.spin_duration_us == 0 and host.most_at_once < 3 else 1.0
    found = host.search(latency())
    assert found.changes == {} and found.proof and not found.proof.won
    assert any(t.taken for t in found.trials)
    assert "1.00x (1.00 to 1.00) when it was measured again" in " ".join(record.why(tuning(found)))


@pytest.mark.parametrize("play", [0.4, 1.5, 3.0, 30.0])
def test_the_budget_holds_and_what_it_does_not_suffice_for_is_told(play: float) -> None:
    host = Host(spins, play=play, load=2.0)
    found = host.search(space.alternatives("rate", 16, {}))
    assert host.now == found.seconds <= max(BUDGET + 3 * play, 2 * play + 2)
    assert len(found.trials) + len(found.left_out) == len(space.alternatives("rate", 16, {}))
    if play >= 1.5:
        assert found.left_out
        assert "the time did not suffice for" in " ".join(record.why(tuning(found)))
    if found.proof:
        assert LEAST <= len(found.proof.gain.ratios) <= MOST


def test_what_would_change_nothing_is_not_measured() -> None:
    """A run on one thread has no idle ones that could spin."""
    host = Host(lambda options: 0.5 if options.threads == 1 else 1.0)
    found = host.search(latency())
    assert found.changes == {"threads": 1}
    assert not any("spin_duration_us" in t.changes for t in found.trials)
    assert {"threads": 1, "arena": False} in [t.changes for t in found.trials]


def test_options_that_change_an_answer_are_not_taken() -> None:
    host = Host(spins, answer=lambda o: o.spin_between_runs)
    found = host.search(latency())
    assert found.changes == {}
    (trial,) = [
        t
        for t in found.trials
        if t.changes == {"spin_duration_us": 1000, "spin_between_runs": True}
    ]
    assert trial.gain is None and trial.why == "it answers otherwise: answer differs"
    assert trial.why in record.markdown(tuning(found))


def test_options_with_which_the_model_does_not_load_are_told_and_passed_over() -> None:
    class Fragile(Host):
        @contextmanager
        def start(self, options: EngineOptions) -> Iterator[Loaded]:
            if not options.arena:
                raise BenchmarkError("the model failed to load: no memory\nTraceback: ...")
            with super().start(options) as loaded:
                yield loaded

    found = Fragile(spins).search(latency())
    assert found.changes == {"spin_duration_us": 1000, "spin_between_runs": True}
    (trial,) = [t for t in found.trials if "arena" in t.changes]
    assert trial.why == "the model failed to load: no memory"


def test_the_record_tells_host_scenario_gain_with_range_and_all_that_was_tried() -> None:
    found = Host(spins, noise=0.01).search(latency())
    told = record.data(tuning(found, scenario=Scenario("rate", 20.0), fixed={"arena": False}))
    assert (told["scenario"], told["rate"], told["on"]) == ("rate", 20.0, HOST)
    assert told["options"] == {"spin_duration_us": 1000, "spin_between_runs": True}
    gain = told["gain"]
    assert gain["least"] <= gain["median"] <= gain["most"] and gain["rounds"] == MOST
    assert len(told["tried"]) == len(found.trials) and told["not_tried"] == []
    text = record.markdown(tuning(found, scenario=Scenario("rate", 20.0), fixed={"arena": False}))
    host = "A CPU (avx2) with 8 CPUs"
    options = "spin_duration_us 1000, spin_between_runs on"
    verdict = f"**Tuned for rate of 20 a second on {host}: {options}: 1.2"
    assert verdict in text
    assert "Arena off was set in model_spec.json, and stays." in text
    assert "a host with fewer than 8 CPUs warns" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith(("| def", "| best"))]
    assert [row[0] for row in rows] == ["| defaults", "| best"]
    medians = [float(row[1]) for row in rows]
    assert medians == pytest.approx([1000, 800], rel=0.05)


@pytest.mark.parametrize(
    ("text", "name", "rate"),
    [
        ("latency", "latency", None),
        ("throughput", "throughput", None),
        ("rate", "rate", None),
        ("rate=20", "rate", 20.0),
        ("rate=1.5", "rate", 1.5),
    ],
)
def test_a_scenario_is_read(text: str, name: str, rate: float | None) -> None:
    assert Scenario.read(text) == Scenario(name, rate)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fast", "--tune fast: expected latency, throughput, rate or rate=REQUESTS_A_SECOND"),
        ("latency=5", "--tune latency=5: expected latency, "),
        ("rate=", "--tune rate=: expected "),
        ("rate=many", "--tune rate=many: expected "),
        ("rate=0.5", "--tune rate=0.5: must be at least 1 a second; fewer are lone requests"),
        ("rate=inf", "--tune rate=inf: must be"),
        ("rate=nan", "--tune rate=nan: must be"),
    ],
)
def test_another_scenario_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Scenario.read(text)
    assert str(refused.value).startswith(said)


def test_the_options_reach_a_process_as_a_deployment_sets_them() -> None:
    options = EngineOptions(threads=3, arena=False, spin_duration_us=0)
    environment = {"ONNXFERRY_ENGINE_RUNS": "7", "ONNXFERRY_ENGINE_SPINNING": "1000"}
    assert (
        EngineOptions().overridden({**environment, **model_processes.variables(options)}) == options
    )
