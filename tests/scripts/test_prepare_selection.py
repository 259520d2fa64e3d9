"""Variants against the source model: what is rejected, skipped, mixed and chosen, and what the
records tell of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from onnxferry import scoring
from onnxferry.scoring import ModelSpec, cpu
from onnxferry.scoring.errors import ModelError
from onnxferry.scripts.package import model as package
from onnxferry.scripts.prepare import Options
from onnxferry.scripts.prepare.__main__ import command
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.selection import criteria
from onnxferry.scripts.prepare.selection.candidates import REJECTED, WITHIN, CandidateResult
from onnxferry.scripts.prepare.selection.cpu_target import CpuTarget
from onnxferry.scripts.prepare.selection.latency import Latency
from onnxferry.scripts.prepare.selection.mixed_precision import fewest, neighbours
from onnxferry.scripts.prepare.selection.ranking import choose
from onnxferry.scripts.prepare.variants.table import SHIPPED
from onnxferry.scripts.prepare.variants.variant import OperatorGroup, Variant, VariantInputs
from onnxferry.scripts.prepare.verification.evaluator import EvaluationResult
from onnxferry.system.errors import PrepareError, UsageError
from tests.scripts import checkpoints, fake_variants
from tests.scripts.checkpoints import CPU

ASKED = "Thank you so much"  # a built-in input: records that leave the machine hold none


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("source") / "bert", "text-classification")


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, Path, str]:
    """A model directory chosen among sound and unsound variants, and its report."""
    out = tmp_path_factory.mktemp("made") / "moods"
    tried = fake_variants.table(
        fake_variants.COPY,
        fake_variants.INT8,
        Variant("int8-damaged", "int8", "wrong scales", fake_variants.damaged),
        Variant("int8-broken", "int8", "cannot be made", fake_variants.broken),
        Variant("int8-no-graph", "int8", "cannot be loaded", fake_variants.no_graph),
        Variant("int4", "int8", "4 bits", fake_variants.int8),
    )
    spec = prepare(Options(str(source), out, cpu=CPU, max_metric_drop=0.09), tried)
    return spec, out, (out / "report.md").read_text(encoding="utf-8")


def statuses(spec: ModelSpec) -> dict[str, str]:
    return {
        v["name"]: "within" if v["status"] == "chosen" else v["status"]
        for v in spec.provenance["variants"]
    }


def test_each_variant_gets_its_verdict(made: tuple[ModelSpec, Path, str]) -> None:
    spec, _, _ = made
    assert statuses(spec) == {
        "fp32": "within",
        "fp32-copy": "within",
        "int8": "within",
        "int8-damaged": "rejected",
        "int8-broken": "failed",
        "int8-no-graph": "failed",
        "int4": "skipped",
    }
    assert [v["status"] for v in spec.provenance["variants"]].count("chosen") == 1
    rows = {v["name"]: v for v in spec.provenance["variants"]}
    assert (
        "more than 9% (--max-metric-drop)" in rows["int8-damaged"]["reason"]
        or "--min-agr" in rows["int8-damaged"]["reason"]
    )
    assert rows["int8-damaged"]["loss"] == pytest.approx(
        1 - rows["int8-damaged"]["agreement"], abs=1e-6
    )
    assert rows["int8-broken"]["reason"] == "RuntimeError: no such operator"
    assert rows["int4"]["reason"].endswith("has no such instructions")
    assert (rows["fp32"]["loss"], rows["fp32"]["agreement"], rows["fp32"]["metrics"]) == (0, 1, {})
    for name in ("fp32", "fp32-copy", "int8"):
        assert rows[name]["ms_one"] > 0
        assert rows[name]["ms_item"] > 0
        assert rows[name]["size_bytes"] > 1000


def test_the_record_is_whole_and_holds_no_inputs(made: tuple[ModelSpec, Path, str]) -> None:
    spec, out, _ = made
    assert ModelSpec.read(out) == spec
    assert spec.provenance["fusion"] == {"Attention": 0}
    assert spec.provenance["data"] == {}
    assert spec.provenance["measured_on"]["cpu"] == cpu.kind()
    assert spec.provenance["measured_on"]["cores"] >= 1
    text = json.dumps(
        {"variants": spec.provenance["variants"], "difference": spec.provenance["difference"]}
    )
    assert ASKED not in text
    assert str(out.parent) not in (out / "model_spec.json").read_text()


def test_the_report_tells_what_changed(made: tuple[ModelSpec, Path, str]) -> None:
    spec, out, report = made
    chosen = next(v for v in spec.provenance["variants"] if v["status"] == "chosen")
    assert f"**{chosen['name']}** ({chosen['how']}) was chosen: it is" in report
    assert "| Attention | 0 | 2 |" in report
    assert "- 2 of 2 attentions are not fused" in report
    assert "**int8-damaged** rejected: " in report
    rejected = report.partition("| input | source model | int8-damaged |")[2].splitlines()[2:]
    examples = rejected[: rejected.index("")]
    assert 1 <= len(examples) <= 5
    assert len(set(examples)) == len(examples)
    assert "**int4** skipped: " in report
    assert "with 61 input(s) one changed answer is" not in report  # 9 % can be told with 61
    assert (out / "report.svg").read_text().count("fp32-copy") == 1


def test_what_is_chosen_is_what_is_served(made: tuple[ModelSpec, Path, str]) -> None:
    spec, out, _ = made
    assert spec.golden
    assert json.loads(scoring.load(out).handle(spec.golden.request).body) == spec.golden.answer
    assert spec.cpu == (CPU if spec.precision == "int8" else None)


def test_reports_are_not_packed(made: tuple[ModelSpec, Path, str]) -> None:
    assert package.check(made[1], "3.12").files == (
        "model.onnx",
        "model_spec.json",
        "tokenizer.json",
    )


def test_too_few_inputs_for_the_gate_are_said(source: Path, tmp_path: Path) -> None:
    options = Options(str(source), tmp_path / "out", variant="int8", cpu=CPU)
    prepare(options, fake_variants.table(fake_variants.INT8))
    note = (
        "with 61 input(s) one changed answer is 1.64%, more than 1% (--max-metric-drop): give"
        " --data or --inputs"
    )
    assert note in (tmp_path / "out" / "report.md").read_text()


def test_the_shipped_table_is_tried_whole(source: Path, tmp_path: Path) -> None:
    spec = prepare(Options(str(source), tmp_path / "out", max_metric_drop=0.2))

    assert {v.name for v in SHIPPED.variants} <= set(statuses(spec))
    assert set(statuses(spec).values()) <= {"within", "rejected", "skipped"}
    assert statuses(spec)["fp32-optimised"] == "within"
    assert spec.provenance["fusion"]["Attention"] == 2
    assert scoring.load(tmp_path / "out").spec == spec
    rows = {v["name"]: v for v in spec.provenance["variants"]}
    assert "overflow on some kinds" in rows["int8-static"]["reason"]
    assert (spec.cpu, rows["int8-static"]["status"]) == (None, "skipped")
    report = (tmp_path / "out" / "report.md").read_text()
    assert "it is made for any kind of CPU" in report
    assert "**Note:** made for" not in report


def test_a_precision_keeps_the_others_out(source: Path, tmp_path: Path) -> None:
    tried = fake_variants.table(fake_variants.COPY, fake_variants.INT8)
    spec = prepare(
        Options(str(source), tmp_path / "out", precision="int8", cpu=CPU, max_metric_drop=0.1),
        tried,
    )
    assert (spec.precision, spec.cpu) == ("int8", CPU)
    assert statuses(spec) == {"fp32": "within", "int8": "within"}


def test_the_operator_that_int8_degrades_stays_in_float32(source: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported.onnx"
    prepare(Options(str(source), tmp_path / "first", variant="fp32"), fake_variants.table())
    (tmp_path / "first" / "model.onnx").rename(exported)
    sensitive = fake_variants.products(exported)[-2]
    tried = fake_variants.table(
        Variant("int8-outliers", "int8", "dynamic int8", fake_variants.degrading(sensitive))
    )

    spec = prepare(
        Options(str(source), tmp_path / "out", precision="int8", cpu=CPU, max_metric_drop=0.09),
        tried,
    )

    rows = {v["name"]: v for v in spec.provenance["variants"]}
    assert rows["int8-outliers"]["status"] == "rejected"
    assert (rows["int8-outliers-mixed"]["status"], rows["int8-outliers-mixed"]["kept"]) == (
        "chosen",
        [sensitive],
    )
    report = (tmp_path / "out" / "report.md").read_text()
    parts = len(fake_variants.products(exported))
    assert (
        f"int8-outliers-mixed: {parts} parts ranked, 1 mixtures tried. In float32: {sensitive}."
        in report
    )


def test_a_forced_variant_outside_of_the_gate_is_an_error(source: Path, tmp_path: Path) -> None:
    tried = fake_variants.table(
        Variant("int8-damaged", "int8", "wrong scales", fake_variants.damaged)
    )
    options = Options(
        str(source), tmp_path / "out", variant="int8-damaged", cpu=CPU, min_agreement=0
    )

    with pytest.raises(
        PrepareError, match=r"no variant int8-damaged is within the gate:\n .*: rejected: .*\d"
    ):
        prepare(options, tried)

    assert [p.name for p in tmp_path.iterdir()] == []
    spec = prepare(replace(options, max_metric_drop=1), tried)
    assert [v["status"] for v in spec.provenance["variants"]] == ["within", "chosen"]
    assert "it was asked for (--variant)" in (tmp_path / "out" / "report.md").read_text()


def test_names_and_precisions_that_do_not_go_together_are_refused(
    source: Path, tmp_path: Path
) -> None:
    options = Options(str(source), tmp_path / "out", variant="int2", cpu=CPU)
    with pytest.raises(UsageError, match="--variant int2: choose one of fp32, int8"):
        prepare(options, fake_variants.table(fake_variants.INT8))
    with pytest.raises(UsageError, match=r"--variant int8: is not fp32 \(--precision\)"):
        prepare(
            replace(options, variant="int8", cpu=CPU, precision="fp32"),
            fake_variants.table(fake_variants.INT8),
        )


def test_an_interruption_leaves_what_was_there(source: Path, tmp_path: Path) -> None:
    def interrupted(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        target.touch()
        raise KeyboardInterrupt

    prepare(Options(str(source), tmp_path / "out", variant="fp32"), fake_variants.table())
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}

    with pytest.raises(KeyboardInterrupt):
        prepare(
            Options(str(source), tmp_path / "out", cpu=CPU),
            fake_variants.table(Variant("int8", "int8", "", interrupted)),
        )

    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_another_machine_s_cpu_is_said(source: Path, tmp_path: Path) -> None:
    other = next(kind for kind in cpu.KINDS if kind != cpu.kind())
    spec = prepare(
        Options(str(source), tmp_path / "out", variant="fp32", cpu=other), fake_variants.table()
    )
    assert spec.provenance["measured_on"]["note"].startswith(
        f"made for {other}, but this machine is {cpu.kind()}: the latencies"
    )
    assert f"> **Note:** made for {other}" in (tmp_path / "out" / "report.md").read_text()
    assert CpuTarget("avx2", "avx2").mismatch is None
    assert CpuTarget("any", "avx2").mismatch is None
    assert "cannot be told" in str(CpuTarget("avx2", None).mismatch)


@pytest.mark.parametrize(
    ("asked", "host", "kind", "recorded"),
    [
        ("any", "avx512", "any", None),
        ("here", "avx512", "avx512", "avx512"),
        ("here", None, "any", None),
        ("auto", "avx2", "avx2", "avx2"),
        ("arm64", "avx2", "arm64", "arm64"),
    ],
)
def test_int8_is_for_any_cpu_unless_a_kind_is_asked_for(
    asked: str, host: str | None, kind: str, recorded: str | None
) -> None:
    target = CpuTarget.of(asked, host)
    assert (target, target.recorded) == (CpuTarget(kind, host), recorded)
    assert Options("source", Path("out")).cpu == "any"


def test_the_processor_is_named_as_its_maker_does(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Brand 9 CPU\n\nmodel name\t: Brand 9 CPU\n"
    )
    assert cpu.processor(tmp_path / "cpuinfo") == "Brand 9 CPU"
    assert cpu.processor(tmp_path / "absent")


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), (" 0.5 % ", 0.005), ("0.01", 0.01), ("0", 0), ("100%", 1)]
)
def test_a_loss_is_a_percentage_or_a_share(text: str, share: float) -> None:
    assert criteria.parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["one", "", "%", "1%%", "101%", "1.5", "-1%", "nan"])
def test_what_is_no_loss_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-metric-drop"):
        criteria.parse_share(text)


def candidate(name: str, ms: float, size: int = 100, difference: float = 0.0) -> CandidateResult:
    found = EvaluationResult({"mean_abs": difference}, 0.0)
    variant = Variant(name, "int8", "", fake_variants.int8)
    return CandidateResult(variant, WITHIN, size=size, evaluation=found, latency=Latency(ms, ms))


@pytest.mark.parametrize(
    ("results", "name", "why"),
    [
        ([candidate("a", 10), candidate("b", 9)], "b", "it is the fastest"),
        (
            [candidate("a", 10, 50), candidate("b", 9.9)],
            "a",
            r"as fast as b \(within 3%\), and the smallest",
        ),
        (
            [candidate("a", 10, 1000, 0.1), candidate("b", 10.1, 1001, 0.01)],
            "b",
            "and the most exact of the smallest",
        ),
        ([candidate("a", 10)], "a", "the only one"),
    ],
)
def test_the_fastest_is_chosen_and_ties_go_to_the_smaller_and_the_more_exact(
    results: list[CandidateResult], name: str, why: str
) -> None:
    best, reason = choose(results)
    assert best.name == name
    assert re.search(why, reason)


@pytest.mark.parametrize(("needed", "kept"), [(1, 1), (3, 3), (4, 4), (5, 5), (6, None)])
def test_as_few_parts_as_possible_stay_in_float(needed: int, kept: int | None) -> None:
    tried: list[int] = []

    def attempt(names: Any) -> CandidateResult:
        tried.append(len(names))
        return replace(
            candidate("x", 1),
            status=WITHIN if len(names) >= needed else REJECTED,
            kept=tuple(names),
        )

    found, count = fewest([f"part {i}" for i in range(10)], 5, attempt)

    assert (found and len(found.kept)) == kept
    assert count == len(tried) <= 6
    assert len(set(tried)) == len(tried)


def test_many_groups_are_ranked_as_neighbours() -> None:
    groups = [OperatorGroup(f"layer {i}", frozenset({f"/layer.{i}"})) for i in range(90)]
    parts = neighbours(groups)
    assert len(parts) == 30
    assert parts["layer 87 to layer 89"] == {"/layer.87", "/layer.88", "/layer.89"}


def test_a_spec_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    old = '{"format": 1, "name": "old", "task": "tensors", "variants": '
    (tmp_path / "model_spec.json").write_text(old + '[{"name": "fp32"}]}')
    assert ModelSpec.read(tmp_path).provenance == {"variants": [{"name": "fp32"}]}
    (tmp_path / "model_spec.json").write_text(old + "{}}")
    with pytest.raises(ModelError, match="'variants' must be a list of objects"):
        ModelSpec.read(tmp_path)


def test_the_command_line_shows_the_table_and_fails_when_nothing_is_left(
    source: Path, tmp_path: Path
) -> None:
    flags = [str(source), "--out", str(tmp_path / "out"), "--cpu", CPU]

    done = CliRunner().invoke(command, [*flags, "--variant", "fp32", "--max-metric-drop", "2%"])
    assert done.exit_code == 0, done.output
    assert f"report: {tmp_path / 'out' / 'report.md'}" in done.stdout.replace("\n", "")
    assert "fp32 is chosen: it was asked for (--variant)" in done.stderr

    done = CliRunner().invoke(command, [*flags, "--variant", "int8-static-cnn-reduced"])
    assert done.exit_code == 1
    assert (
        "no variant int8-static-cnn-reduced is within the gate:\n"
        "  int8-static-cnn-reduced: skipped: the graph has no convolutions" in done.stderr
    )


def test_the_older_name_of_the_metric_drop_is_taken_and_not_shown(source: Path) -> None:
    done = CliRunner().invoke(command, [str(source), "--out", "out", "--max-loss", "200%"])
    assert done.exit_code == 2
    assert "--max-metric-drop 200%: must be between 0 and 100%" in done.stderr
    shown = CliRunner().invoke(command, ["--help"]).output
    assert "--max-metric-drop" in shown
    assert "--max-loss" not in shown


def test_a_defect_is_logged_with_its_traceback_and_is_no_rejection(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a variant that cannot be made, and of one that cannot be evaluated."""
    tried = fake_variants.table(
        Variant("int8-broken", "int8", "cannot be made", fake_variants.broken),
        Variant("int8-no-graph", "int8", "cannot be loaded", fake_variants.no_graph),
    )
    options = Options(str(source), tmp_path / "out", precision="int8", cpu=CPU)

    with pytest.raises(PrepareError) as failure:
        prepare(options, tried)

    assert "  int8-broken: failed: RuntimeError: no such operator" in str(failure.value)
    assert "  int8-no-graph: failed: ModelError: " in str(failure.value)
    assert "rejected" not in str(failure.value)
    logged = {record.message: record.exc_text or "" for record in caplog.records}
    assert "fake_variants.py" in logged["variant int8-broken failed"]
    assert "RuntimeError: no such operator" in logged["variant int8-broken failed"]
    assert "ModelError: " in logged["variant int8-no-graph failed"]


def test_a_defect_of_mixed_precision_is_logged_and_said(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def whole_only(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        if keep:
            raise RuntimeError("keeps nothing")
        fake_variants.damaged(inputs, target, keep)

    tried = fake_variants.table(Variant("int8-damaged", "int8", "wrong scales", whole_only))
    options = Options(str(source), tmp_path / "out", precision="int8", cpu=CPU)

    with pytest.raises(PrepareError, match=r"rejected: .* failed \(RuntimeError: keeps nothing\)"):
        prepare(options, tried)

    logged = {record.message: record.exc_text or "" for record in caplog.records}
    assert "RuntimeError: keeps nothing" in logged["a part of int8-damaged cannot be ranked"]
    assert "RuntimeError: keeps nothing" in logged["variant int8-damaged-mixed failed"]


def test_what_one_input_cannot_tell_is_not_taken_unasked(tmp_path: Path) -> None:
    source = checkpoints.vit(tmp_path / "vit")
    options = Options(str(source), tmp_path / "out", cpu=CPU)

    spec = prepare(options, fake_variants.table(fake_variants.INT8))

    assert spec.precision == "fp32"
    assert (
        spec.provenance["variants"][1]["reason"]
        == "it may lose accuracy, and 1 input(s) cannot tell: give --data or --inputs (at least"
        " 10), or ask for it with --variant int8"
    )
    asked = replace(options, variant="int8", cpu=CPU)
    assert prepare(asked, fake_variants.table(fake_variants.INT8)).precision == "int8"
