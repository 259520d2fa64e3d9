"""Makes a variant, evaluates it and judges it, with one line on the console. A variant that cannot
be made or evaluated fails alone: the others go on."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from onnxferry.scoring.manifest import MODEL_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.prepare.model_directory import graph_bytes, write_spec
from onnxferry.scripts.prepare.selection.candidates import (
    FAILED,
    REJECTED,
    SKIPPED,
    WITHIN,
    CandidateResult,
)
from onnxferry.scripts.prepare.selection.criteria import AcceptanceCriteria
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.scripts.prepare.verification.formatting import percent, shorten
from onnxferry.system import console
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.variant import Variant, VariantInputs

_log = logging.getLogger(__name__)
_COLOURS = {WITHIN: "green", REJECTED: "yellow", SKIPPED: "dim", FAILED: "red"}
MAX_REASON = 300  # characters of a tool's message
_EXAMPLES = 2  # of changed answers on the console


@dataclass(frozen=True)
class VariantBuilder:
    """Makes model directories in `folder` of `inputs`. `exported` is the model directory of the
    exported graph, whose spec and tokenizer the others share."""

    folder: Path
    exported: Path
    spec: ModelSpec
    inputs: VariantInputs

    def build(self, variant: Variant, name: str, keep: frozenset[str] = frozenset()) -> Path:
        """The model directory of `variant` with the operators `keep` in float32. Raises whatever
        the tools raise, and leaves nothing then."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        try:
            variant.make(self.inputs, folder / MODEL_FILE, keep)
        except BaseException:
            shutil.rmtree(folder)
            raise
        if (self.exported / TOKENIZER_FILE).is_file():
            shutil.copyfile(self.exported / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        write_spec(self.spec, folder)
        return folder


@dataclass(frozen=True)
class CandidateTester:
    """Where variants are made, what they are asked, and what they must keep."""

    builder: VariantBuilder
    evaluator: Evaluator
    criteria: AcceptanceCriteria

    def test_exported(self, variant: Variant) -> CandidateResult:
        """The result of the exported graph, which is made and verified already."""
        folder, found = self.builder.exported, self.evaluator.exported
        result = CandidateResult(variant, WITHIN, "", folder, graph_bytes(folder), found)
        announce(result)
        return result

    def test_all(
        self, variants: Sequence[Variant], skipped: Callable[[Variant], str | None]
    ) -> list[CandidateResult]:
        """A result for each of `variants`; `skipped` says why one is not tried."""
        return [announced(v.name, partial(self.test, v, skipped=skipped)) for v in variants]

    def test(
        self,
        variant: Variant,
        progress: Progress,
        keep: Mapping[str, frozenset[str]] = {},
        skipped: Callable[[Variant], str | None] = lambda _: None,
    ) -> CandidateResult:
        """Make and evaluate `variant` with the groups of operators `keep` in float32. A defect is
        logged with its traceback, and makes the status FAILED."""
        kept, folder = tuple(keep), None
        try:
            if reason := skipped(variant):
                return CandidateResult(variant, SKIPPED, reason)
            progress("make")
            operators = frozenset().union(*keep.values())
            folder = self.builder.build(variant, f"{variant.name}.{len(kept)}", operators)
            progress("evaluate")
            evaluation = self.evaluator.evaluate(folder, progress, self.criteria.hopeless)
        except Exception as e:  # a tool's own kinds, onnxruntime's bare Exception
            if folder:
                shutil.rmtree(folder)
            log_defect(f"variant {variant.name} failed")
            said = f"{type(e).__name__}: {e}".replace(f"{self.builder.folder}/", "")
            return CandidateResult(variant, FAILED, shorten(said, MAX_REASON), kept=kept)
        rejection = self.criteria.rejection(evaluation, variant.precision)
        status, size = REJECTED if rejection else WITHIN, graph_bytes(folder)
        return CandidateResult(
            variant, status, rejection or "", folder, size, evaluation, kept=kept
        )


def log_defect(what: str) -> None:
    """Log the exception that is being handled, with its traceback. As an error, since the libraries
    are silenced up to warnings."""
    _log.error(what, exc_info=True)


def announced(name: str, work: Callable[[Progress], CandidateResult]) -> CandidateResult:
    """The result that `work` makes, with a spinner meanwhile and a line at its end."""
    began = time.monotonic()
    with console.err.status(f"{escape(name)} ...") as status:
        result = work(lambda text: status.update(f"{escape(name)}: {escape(text)}"))
    announce(result, time.monotonic() - began)
    return result


def announce(result: CandidateResult, seconds: float | None = None) -> None:
    """Print one line, and of a rejected variant the first few answers that it changed."""
    took = "" if seconds is None or result.status == SKIPPED else f" {seconds:.1f} s"
    line = f"{result.name}: {result.reason or _figures(result)}{took}"
    console.err.print(f"[{_COLOURS[result.status]}]{result.status}[/] {escape(line)}")
    if result.status == REJECTED and result.evaluation:
        for change in result.evaluation.changes[:_EXAMPLES]:
            became = escape(f"{change.expected} became {change.got}")
            console.err.print(f"    [dim]{escape(change.input or change.where)}[/]: {became}")


def _figures(result: CandidateResult) -> str:
    if (found := result.evaluation) is None:
        return ""
    metrics = [f"{name} {value:.2f}" for name, value in found.metrics.items()]
    same = f"{found.difference['agreement']:.1%} of the answers the same"
    return ", ".join([same, *metrics, f"drop {percent(max(found.drop, 0))}"])
