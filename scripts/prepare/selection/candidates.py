"""Every variant made and examined, one line each. One that cannot be made is reported, and ends
nothing."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from onnxferry.scoring.manifest import MODEL_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.prepare.report import record
from onnxferry.scripts.prepare.report.formatting import short
from onnxferry.scripts.prepare.selection import criteria
from onnxferry.scripts.prepare.selection.latency import Speed
from onnxferry.scripts.prepare.verification.evaluator import Exam, Score
from onnxferry.system import console
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.variant import Variant, VariantInputs

CHOSEN, WITHIN, REJECTED, SKIPPED, FAILED = "chosen", "within", "rejected", "skipped", "failed"
_COLOURS = {WITHIN: "green", REJECTED: "yellow", SKIPPED: "dim", FAILED: "red"}
FAILURE = 300  # characters of what a tool says
_SHOWN = 2  # examples of changed answers on the console


@dataclass(frozen=True)
class Trial:
    """One variant, and what became of it. `folder` is its model directory while it may still be
    chosen or measured; `kept` names the groups that stay in float32 where its precision is mixed;
    `offered` tells that it may be chosen."""

    variant: Variant
    status: str
    reason: str = ""
    folder: Path | None = None
    size: int | None = None
    score: Score | None = None
    speed: Speed | None = None
    kept: tuple[str, ...] = ()
    offered: bool = True

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def place(self) -> Path:
        """`folder` of a trial that may be chosen."""
        if self.folder is None:
            raise ValueError(f"{self.name} has no folder any more: {self.status}")
        return self.folder

    @property
    def within(self) -> bool:
        return self.status in (WITHIN, CHOSEN)

    def record(self) -> dict[str, Any]:
        """Its line in the spec's table of variants. Nothing of what was asked is in it."""
        score, speed, variant = self.score, self.speed, self.variant
        return {
            "name": variant.name,
            "how": variant.how,
            "precision": variant.precision,
            "status": self.status,
            "reason": self.reason,
            "size_bytes": self.size,
            "kept": list(self.kept),
            "agreement": score.difference["agreement"] if score else None,
            "max_abs": _finite(score.difference["max_abs"]) if score else None,
            "metrics": (
                {name: round(value, 4) for name, value in score.metrics.items()} if score else {}
            ),
            "loss": round(score.loss, 6) if score else None,
            "ms_one": round(speed.one, 3) if speed else None,
            "ms_item": round(speed.item, 3) if speed and speed.item is not None else None,
        }


@dataclass(frozen=True)
class Bench:
    """Where variants are made: `model` is the model directory of the exported graph, whose spec and
    tokenizer the others share."""

    work: Path
    model: Path
    spec: ModelSpec
    material: VariantInputs

    def build(self, variant: Variant, name: str, keep: frozenset[str] = frozenset()) -> Path:
        """The model directory of `variant` with the operators `keep` in float32."""
        folder = self.work / name
        folder.mkdir(parents=True)
        try:
            variant.make(self.material, folder / MODEL_FILE, keep)
        except BaseException:
            shutil.rmtree(folder)
            raise
        if (self.model / TOKENIZER_FILE).is_file():
            shutil.copyfile(self.model / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        record.write(self.spec, folder)
        return folder

    def attempt(
        self,
        variant: Variant,
        exam: Exam,
        progress: Progress,
        keep: Mapping[str, frozenset[str]] = {},
    ) -> Trial:
        """Make and examine `variant` with the groups `keep` in float32; its folder is gone if that
        fails."""
        kept = tuple(keep)
        folder = None
        try:
            progress("make")
            folder = self.build(
                variant, f"{variant.name}.{len(kept)}", frozenset().union(*keep.values())
            )
            progress("examine")
            score = exam.score(folder, variant.precision, progress)
        except Exception as e:  # a tool's own kinds, onnxruntime's bare Exception
            if folder:
                shutil.rmtree(folder)
            said = f"{type(e).__name__}: {e}".replace(f"{self.work}/", "")
            return Trial(variant, FAILED, short(said, FAILURE), kept=kept)
        status = REJECTED if score.reason else WITHIN
        return Trial(variant, status, score.reason or "", folder, weight(folder), score, kept=kept)


def weight(folder: Path) -> int:
    """The bytes of a model directory's graph, its weights beside it included."""
    return sum(p.stat().st_size for p in folder.glob(f"{MODEL_FILE}*"))


def baseline(variant: Variant, bench: Bench, exam: Exam) -> Trial:
    """The graph as it was exported, which is made and proved already."""
    trial = Trial(variant, WITHIN, "", bench.model, weight(bench.model), exam.baseline(bench.model))
    tell(trial)
    return trial


def run(
    variants: Sequence[Variant], bench: Bench, exam: Exam, skipped: Callable[[Variant], str | None]
) -> list[Trial]:
    """A trial of each of `variants`, told on the console as it ends."""
    found: list[Trial] = []
    for variant in variants:
        if unfit := _unfit(variant, skipped):
            found.append(unfit)
            tell(unfit)
        else:
            found.append(told(variant.name, partial(bench.attempt, variant, exam)))
    return found


def _unfit(variant: Variant, skipped: Callable[[Variant], str | None]) -> Trial | None:
    try:
        reason = skipped(variant)
    except Exception as e:  # of a graph that the table cannot read
        return Trial(variant, FAILED, short(f"{type(e).__name__}: {e}", FAILURE))
    return Trial(variant, SKIPPED, reason) if reason else None


def told(name: str, work: Callable[[Progress], Trial]) -> Trial:
    """The trial that `work` makes, with a spinner meanwhile and a line at its end."""
    began = time.monotonic()
    with console.err.status(f"{escape(name)} ...") as status:
        trial = work(lambda text: status.update(f"{escape(name)}: {escape(text)}"))
    tell(trial, time.monotonic() - began)
    return trial


def tell(trial: Trial, seconds: float | None = None) -> None:
    """One line, and of a rejected variant the first few answers that it changed."""
    took = "" if seconds is None else f" {seconds:.1f} s"
    told = f"{trial.name}: {trial.reason or _good(trial)}{took}"
    console.err.print(f"[{_COLOURS[trial.status]}]{trial.status}[/] {escape(told)}")
    for change in trial.score.changes[:_SHOWN] if trial.status == REJECTED and trial.score else ():
        console.err.print(
            f"    [dim]{escape(change.input or change.where)}[/]: {escape(change.expected)} became "
            f"{escape(change.got)}"
        )


def _good(trial: Trial) -> str:
    if trial.score is None:
        return ""
    figures = [f"{name} {value:.2f}" for name, value in trial.score.metrics.items()]
    same = f"{trial.score.difference['agreement']:.1%} of the answers the same"
    return ", ".join([same, *figures, f"loss {criteria.percent(max(trial.score.loss, 0))}"])


def discard(trial: Trial) -> Trial:
    """`trial` without its folder."""
    if trial.folder:
        shutil.rmtree(trial.folder)
    return replace(trial, folder=None)


def _finite(value: float) -> float | None:
    """None in the place of an infinity, which JSON does not have."""
    return value if math.isfinite(value) else None
