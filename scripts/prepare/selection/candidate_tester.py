"""Makes, evaluates and judges variants. One that cannot be made or evaluated fails alone."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.markup import escape

from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE
from onnxferry.scripts.prepare.model_directory import graph_bytes
from onnxferry.scripts.prepare.selection import candidates
from onnxferry.scripts.prepare.selection.candidates import CandidateResult
from onnxferry.scripts.prepare.selection.criteria import AcceptanceCriteria
from onnxferry.scripts.prepare.variants.variant import Variant, VariantInputs
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.scripts.prepare.verification.formatting import percent, shorten
from onnxferry.system import console

_log = logging.getLogger(__name__)
_COLOURS = {"within": "green", "rejected": "yellow", "skipped": "dim", "failed": "red"}
MAX_REASON = 300  # characters of a tool's message
_EXAMPLES = 2  # of changed answers on the console


@dataclass(frozen=True)
class VariantBuilder:
    """Makes model directories in `folder`, with spec and tokenizer of `exported`."""

    folder: Path
    exported: Path
    inputs: VariantInputs

    def build(self, variant: Variant, name: str, keep: frozenset[str] = frozenset()) -> Path:
        """The model directory of `variant` with the operators `keep` in float32. Raises what the
        tools raise, and leaves nothing then."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        try:
            variant.make(self.inputs, folder / MODEL_FILE, keep)
        except BaseException:
            shutil.rmtree(folder)
            raise
        for path in (self.exported / SPEC_FILE, self.exported / TOKENIZER_FILE):
            if path.is_file():
                shutil.copy(path, folder)
        return folder


@dataclass(frozen=True)
class CandidateTester:
    """Where variants are made, what they are asked, and what they must keep."""

    builder: VariantBuilder
    evaluator: Evaluator
    criteria: AcceptanceCriteria

    def test_exported(self, variant: Variant) -> CandidateResult:
        """The result of the exported graph, which is verified already."""
        folder, found = self.builder.exported, self.evaluator.exported
        size = graph_bytes(folder)
        result = CandidateResult(variant, candidates.WITHIN, "", folder, size, found)
        announce(result)
        return result

    def test(
        self, variant: Variant, progress: console.Progress, keep: Mapping[str, frozenset[str]]
    ) -> CandidateResult:
        """Make and evaluate `variant` with the groups of operators `keep` in float32. A defect is
        logged, and makes the status FAILED."""
        progress("make")
        made = self.make(variant, keep)
        return self.judge(made, progress) if made.status == candidates.MADE else made

    def make(self, variant: Variant, keep: Mapping[str, frozenset[str]] = {}) -> CandidateResult:
        """The result MADE, or FAILED; `keep` as in `test`."""
        kept = tuple(keep)
        result = CandidateResult(variant, candidates.MADE, kept=kept)

        def made() -> CandidateResult:
            operators = frozenset().union(*keep.values())
            folder = self.builder.build(variant, f"{variant.name}.{len(kept)}", operators)
            return replace(result, folder=folder, size=graph_bytes(folder))

        return self.attempt(result, made)

    def judge(self, made: CandidateResult, progress: console.Progress) -> CandidateResult:
        """The result WITHIN, REJECTED or FAILED of one that is MADE."""

        def judged() -> CandidateResult:
            progress("evaluate")
            give_up = self.criteria.give_up(self.evaluator)
            found = self.evaluator.evaluate(made.model_dir, progress, give_up)
            reason = self.criteria.rejection(found, made.variant.precision) or ""
            status = candidates.REJECTED if reason else candidates.WITHIN
            return replace(made, status=status, reason=reason, evaluation=found)

        return self.attempt(made, judged)

    def attempt(
        self, result: CandidateResult, work: Callable[[], CandidateResult]
    ) -> CandidateResult:
        """What `work` makes of a result; FAILED, without its folder, where it raises anything."""
        try:
            return work()
        except Exception as e:  # a tool's own kinds, onnxruntime's bare Exception
            _log.warning("variant %s failed", result.name, exc_info=True)
            said = f"{type(e).__name__}: {e}".replace(f"{self.builder.folder}/", "")
            failed = replace(result, status=candidates.FAILED, reason=shorten(said, MAX_REASON))
            return failed.discarded()


def announced(name: str, work: Callable[[console.Progress], CandidateResult]) -> CandidateResult:
    """The result that `work` makes, with a spinner meanwhile and a line at its end."""
    began = time.monotonic()
    with console.err.status(f"{escape(name)} ...") as status:
        result = work(lambda text: status.update(f"{escape(name)}: {escape(text)}"))
    announce(result, time.monotonic() - began)
    return result


def announce(result: CandidateResult, seconds: float | None = None) -> None:
    """Print one line, and of a rejected variant a few answers that it changed."""
    status, found = result.status, result.evaluation
    took = "" if seconds is None or status == candidates.SKIPPED else f" {seconds:.1f} s"
    line = f"{result.name}: {result.reason or _figures(result)}{took}"
    console.err.print(f"[{_COLOURS[status]}]{status}[/] {escape(line)}")
    if took:
        _log.info(console.ENDED, result.name, seconds)
    if status == candidates.REJECTED and found:
        for change in found.changes[:_EXAMPLES]:
            became = escape(f"{change.expected} became {change.got}")
            console.err.print(f"    [dim]{escape(change.input or change.where)}[/]: {became}")


def _figures(result: CandidateResult) -> str:
    if (found := result.evaluation) is None:
        return ""
    metrics = [f"{name} {value:.2f}" for name, value in found.metrics.items()]
    same = f"{found.difference['agreement']:.1%} of the answers the same"
    return ", ".join([same, *metrics, f"drop {percent(max(found.drop, 0))}"])
