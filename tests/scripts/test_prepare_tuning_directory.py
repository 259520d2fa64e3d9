"""prepare --tune of a model directory: what it asks, what it writes, and what it refuses. Rounds
are fake but in one test, where real processes play a few."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxferry import scoring
from onnxferry.scoring import cpu
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.benchmark.rounds import Round
from onnxferry.scripts.prepare.__main__ import command
from onnxferry.scripts.prepare.tuning import questions, scenario, space
from onnxferry.scripts.prepare.tuning import tune as tuning
from onnxferry.scripts.prepare.tuning.model_processes import ModelProcesses
from onnxferry.scripts.prepare.tuning.questions import Given
from onnxferry.scripts.prepare.tuning.scenario import Scenario
from onnxferry.scripts.prepare.tuning.search import BUDGET
from onnxferry.scripts.prepare.tuning.tune import tune
from onnxferry.system.errors import PrepareError, UsageError
from tests import tiny

LATENCY, NOTHING = Scenario("latency"), Given()


@dataclass
class Fake:
    """A loaded model that is twice as fast without an arena, with 10 rounds in a second."""

    options: EngineOptions
    answers: tuple[Any, ...] = ("the same",)

    def play(self, number: int) -> Round:
        seconds = 0.01 if self.options.arena else 0.005
        return Round((seconds,) * 10, 10 * seconds, 10, 2**20, cpu=seconds)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[ModelProcesses]:
    """What was measured, by fake models."""
    seen: list[ModelProcesses] = []

    @contextmanager
    def running(self: ModelProcesses, options: EngineOptions) -> Iterator[Fake]:
        seen.append(self)
        yield Fake(options)

    monkeypatch.setattr(ModelProcesses, "running", running)
    return seen


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_win_is_written_into_the_spec_and_the_report_and_scores_as_before(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    folder = tiny.text_classification(tmp_path / "model")
    (folder / "report.md").write_text("# How it was prepared\n")
    request = scoring.Request(b'{"inputs": ["good day", "awful"]}')
    before, answer = ModelSpec.read(folder), scoring.load(folder).handle(request).body
    result = run(folder, "--tune", "latency")
    assert result.exit_code == 0, result.output
    host = f"{cpu.processor()}"
    assert f"{folder}: tuned for latency on {host}" in result.output
    assert "arena off: 2.00x (2.00 to 2.00) as fast as the defaults" in result.output
    after = ModelSpec.read(folder)
    assert after.engine == EngineOptions(arena=False)
    tuned = after.provenance["tuned"]
    assert tuned["options"] == {"arena": False} and tuned["scenario"] == "latency"
    assert tuned["on"]["cores"] == cpu.available()
    provenance = {key: value for key, value in after.provenance.items() if key != "tuned"}
    assert replace(after, engine=before.engine, provenance=provenance) == before
    assert scoring.load(folder).handle(request).body == answer
    report = (folder / "report.md").read_text()
    assert report.startswith("# How it was prepared\n") and report.count("## Tuning") == 1
    assert sorted(state(folder)) == ["model.onnx", "model_spec.json", "report.md", "tokenizer.json"]


def test_tuned_again_it_starts_from_the_defaults_and_says_so_once(
    tmp_path: Path, fake: list[ModelProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.text_classification(tmp_path)
    tune(folder, LATENCY, NOTHING)
    monkeypatch.setattr(Fake, "play", lambda *_: Round((0.01,) * 10, 0.1, 10))
    assert tune(folder, Scenario("throughput"), NOTHING).outcome.changes == {}
    spec = ModelSpec.read(folder)
    assert spec.engine == EngineOptions()
    assert spec.provenance["tuned"]["scenario"] == "throughput"
    report = (folder / "report.md").read_text()
    assert report.count("## Tuning") == 1
    assert "Nothing better was found for throughput on" in report and "defaults stay" in report


def test_options_that_were_set_by_hand_stay_and_are_the_base_of_the_search(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    folder = tiny.text_classification(tmp_path, engine=EngineOptions(parallel_runs=3))
    for _ in range(2):
        done = tune(folder, LATENCY, NOTHING)
        assert done.fixed == {"parallel_runs": 3}
        assert done.outcome.changes == {"arena": False}
        assert ModelSpec.read(folder).engine == EngineOptions(parallel_runs=3, arena=False)


def test_a_default_of_an_earlier_version_was_not_set_by_hand(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path, engine=EngineOptions(spin_duration_us=10))
    assert tuning.fixed_options(ModelSpec.read(folder)) == {}
    folder = tiny.text_classification(tmp_path, engine=EngineOptions(spin_duration_us=11))
    assert tuning.fixed_options(ModelSpec.read(folder)) == {"spin_duration_us": 11}


@pytest.mark.parametrize("text", ["latency", "throughput", "rate", "rate=5"])
def test_each_scenario_is_the_benchmarks(
    text: str, tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    folder = tiny.text_classification(tmp_path)
    wanted = Scenario.read(text)
    tune(folder, wanted, NOTHING)
    measured = fake[-1].settings
    assert measured.scenario == {"latency": "sync", "throughput": "async"}.get(wanted.name, "rate")
    expected = {"latency": None, "throughput": None, "rate": 50.0}  # 10 in 0.1 s: 100 at most
    assert measured.rate == (wanted.rate or expected[wanted.name])
    assert ModelSpec.read(folder).provenance["tuned"]["rate"] == measured.rate
    asked = fake[-1].questions
    assert asked.requests and (asked.inputs > 1) == (text == "throughput")


def test_a_rate_that_the_host_cannot_answer_is_refused(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    folder = tiny.text_classification(tmp_path)
    before = state(folder)
    result = run(folder, "--tune", "rate=500")
    assert result.exit_code == 2
    said = "--tune rate=500: this host answers at most 100 requests a second of this model"
    assert said in result.output and "The model directory is as it was" in result.output
    assert state(folder) == before


@pytest.mark.parametrize(
    "make",
    [
        tiny.question_answering,
        tiny.text_classification,
        tiny.zero_shot_classification,
        tiny.image_classification,
        tiny.fill_mask,
        tiny.text_ranking,
    ],
)
def test_every_task_has_built_in_questions(make: Any, tmp_path: Path) -> None:
    scorer = scoring.load(make(tmp_path))
    for name in space.ALL:
        found = questions.questions(scorer, NOTHING, Scenario(name), 2)
        assert found.requests and "built-in inputs" in found.what


def test_a_graph_without_built_in_inputs_is_asked_its_golden_requests(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.tensors(tmp_path))
    with pytest.raises(PrepareError, match=r"no input to tune it with.*--inputs FILE"):
        questions.questions(scorer, NOTHING, LATENCY, 2)
    golden = tiny.golden({"inputs": {"x": [[0.5, 1.0]], "k": [[2]]}}, None)
    scorer.spec = replace(scorer.spec, golden=golden)
    assert len(questions.questions(scorer, NOTHING, LATENCY, 2).requests) == 1


def test_the_users_inputs_are_asked_in_place_of_the_built_in_ones(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.text_classification(tmp_path))
    texts = ["good day", "awful day", "very bad"]
    inputs, data = tmp_path / "inputs.jsonl", tmp_path / "data.tsv"
    inputs.write_text("".join(json.dumps({"inputs": text}) + "\n" for text in texts))
    data.write_text("".join(f"{text}\tgood\n" for text in texts))
    for given in (Given(inputs=inputs), Given(data=data)):
        found = questions.questions(scorer, given, LATENCY, 2)
        assert found.what == "3 given inputs" and len(found.requests) == 3


def test_wrong_inputs_are_named(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path / "model")
    before = state(folder)
    (tmp_path / "wrong.jsonl").write_text('{"inputs": 5}\n')
    for flag, name, said in (
        ("--inputs", "none.jsonl", "no such file or folder"),
        ("--data", "none.tsv", "no such file or folder"),
        ("--inputs", "wrong.jsonl", "wrong.jsonl line 1: the model refuses it"),
    ):
        result = run(folder, "--tune", "latency", flag, tmp_path / name)
        assert result.exit_code == 2 and said in result.output, result.output
        assert result.output.count(flag) >= 1
    assert state(folder) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "other"], "--out: "),
        (["--variant", "fp32"], "--variant: "),
        (["--dry-run"], "--dry-run: "),
        (["--test"], "--test: "),
    ],
)
def test_a_model_directory_is_only_tuned(flags: list[str], said: str, tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    result = run(folder, "--tune", "latency", *flags)
    assert result.exit_code == 2
    assert f"{said}{folder} is a model directory, which --tune changes in place" in result.output


@pytest.mark.parametrize("text", ["fast", ""])
def test_a_wrong_scenario_is_told_before_anything_else(text: str, tmp_path: Path) -> None:
    result = run(tmp_path / "nothing", "--tune", text)
    assert result.exit_code == 2 and f"--tune {text}: expected latency, throughput" in result.output


def test_a_broken_model_directory_is_named(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path / "graph")
    (folder / "model.onnx").write_bytes(b"nothing")
    result = run(folder, "--tune", "latency")
    assert result.exit_code == 2 and f"{folder / 'model.onnx'}: onnxruntime" in result.output
    (folder / "model_spec.json").write_text("{")
    result = run(folder, "--tune", "latency")
    assert result.exit_code == 2 and "not readable as JSON" in result.output


def test_a_directory_that_changed_meanwhile_is_left_alone(
    tmp_path: Path, fake: list[ModelProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.text_classification(tmp_path)
    played = Fake.play

    def play(self: Fake, number: int) -> Round:
        tiny.text_classification(tmp_path, precision="int8")
        return played(self, number)

    monkeypatch.setattr(Fake, "play", play)
    with pytest.raises(PrepareError, match="has changed while the model was tuned; tune it again"):
        tune(folder, LATENCY, NOTHING)
    assert ModelSpec.read(folder).precision == "int8" and not (folder / "report.md").exists()


def test_an_interrupted_tuning_leaves_the_directory_as_it_was(
    tmp_path: Path, fake: list[ModelProcesses], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Round:
        raise KeyboardInterrupt

    folder = tiny.text_classification(tmp_path)
    before = state(folder)
    monkeypatch.setattr(Fake, "play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(folder, LATENCY, NOTHING)
    assert state(folder) == before


def test_real_processes_play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One alternative, and rounds as short as they can be: whichever wins, all is written."""
    row = space.Row(("arena",), space.ALL, lambda _: [{"arena": False}])
    monkeypatch.setattr(space, "SPACE", (row,))
    quick = replace(LATENCY.kind, seconds=0.0)
    monkeypatch.setitem(scenario._KINDS, "latency", quick)
    folder = tiny.text_classification(tmp_path)
    done = tune(folder, LATENCY, NOTHING)
    (trial,) = done.outcome.trials
    assert trial.changes == {"arena": False} and trial.gain and not trial.why
    spec = ModelSpec.read(folder)
    assert spec.engine.arena == (not done.outcome.changes)
    assert spec.provenance["tuned"]["options"] == done.outcome.changes


def test_a_host_with_fewer_cpus_than_it_was_tuned_on_is_warned_at_load(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings(engine: EngineOptions, tuned: Any, **variables: str) -> list[str]:
        tiny.text_classification(tmp_path, engine=engine, provenance={"tuned": tuned})
        caplog.clear()
        scorer = scoring.load(tmp_path, variables)
        assert scorer.handle(scoring.Request(b'{"inputs": "good"}')).status == 200
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    here, more = cpu.available(), cpu.available() + 1
    one, set_ = EngineOptions(threads=1), {"threads": 1}
    (said,) = warnings(one, {"on": {"cores": more}, "options": set_})
    made = f"model tiny-text was tuned on {more} CPUs (engine: threads=1)"
    assert said.startswith(f"{made}, and this host has {here}: it may be slower than by default")
    assert not warnings(one, {"on": {"cores": here}, "options": set_})
    # the defaults stayed, or a deployment overrides what was set
    assert not warnings(EngineOptions(), {"on": {"cores": more}, "options": {}})
    tuned = {"on": {"cores": more}, "options": set_}
    assert not warnings(one, tuned, ONNXFERRY_ENGINE_THREADS="2")
    for odd in (None, 5, {}, {"on": 5}, {"on": {"cores": "8"}, "options": set_}):
        assert not warnings(one, odd)
    assert not warnings(one, {"on": {"cores": more}, "options": ["threads"]})


def test_the_report_of_a_user_s_own_directory_is_made(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    folder = tiny.text_classification(tmp_path)
    tune(folder, LATENCY, NOTHING)
    assert tuning.SECTION in (folder / "report.md").read_text()
    with pytest.raises(UsageError, match="no such file"):
        tune(folder, LATENCY, Given(inputs=tmp_path / "none"))


def test_prepare_tunes_what_it_made_and_tells_before_what_it_would(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    graph, out = tiny.tensors(tmp_path / "source") / "model.onnx", tmp_path / "out"
    asked = (graph, "--task", "tensors", "--out", out, "--tune", "latency")
    dry = run(*asked, "--dry-run")
    assert dry.exit_code == 0, dry.output
    said = f"tune       for latency, on this host, in up to {BUDGET:.0f} s"
    assert said in dry.output and not fake
    tested = run(*asked, "--test")
    assert tested.exit_code == 2 and "--test makes no model directory to --tune" in tested.output
    assert not out.exists()
    made = run(*asked)
    assert made.exit_code == 0, made.output
    assert f"{out}: tuned for latency on" in made.output
    spec = ModelSpec.read(out)
    assert spec.engine == EngineOptions(arena=False) and "tune" not in spec.provenance["asked"]
    report = (out / "report.md").read_text()
    assert report.startswith("# How out was prepared") and report.count("## Tuning") == 1


def test_what_is_made_stays_where_its_tuning_fails(
    tmp_path: Path, fake: list[ModelProcesses]
) -> None:
    graph, out = tiny.tensors(tmp_path / "source") / "model.onnx", tmp_path / "out"
    failed = run(graph, "--task", "tensors", "--out", out, "--tune", "rate=1000")
    assert failed.exit_code == 2 and f"to tune it alone: prepare {out} --tune" in failed.output
    assert ModelSpec.read(out).engine == EngineOptions()
