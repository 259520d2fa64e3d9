"""A benchmark as a picture: speed beside latency or, of cold starts, seconds beside memory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxferry.scripts.benchmark import figures
from onnxferry.scripts.benchmark.report import Benchmark, heading
from onnxferry.scripts.benchmark.rounds import EngineResult
from onnxferry.system.errors import UsageError


def save(done: Benchmark, path: Path) -> None:
    """Draw `done` to `path`. Raises UsageError without matplotlib, or for an unknown format."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure  # not pyplot: it would look for a screen
    except ImportError as e:
        advice = "--plot needs the extra 'export': pip install 'onnxferry[export]'"
        raise UsageError(f"{e}. {advice}") from e
    size = (11, 1.6 + 0.45 * len(done.engines))
    with mpl.rc_context({"svg.hashsalt": "onnxferry", "svg.fonttype": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        left, right = figure.subplots(1, 2)
        figure.suptitle(heading(done), fontsize=9, wrap=True)
        (_cold if done.cold else _warm)(left, right, done.engines)
        right.set_yticklabels([])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        except ValueError as e:
            raise UsageError(f"--plot {path}: {e}") from e


def _warm(left: Any, right: Any, engines: Sequence[EngineResult]) -> None:
    speeds = [[r.items / r.seconds for r in e.rounds] for e in engines]
    _bars(left, engines, speeds, "items a second")
    right.set_xlabel("latency of a request in ms: 25 to 75 % (bar), median, 99 % (line)")
    for place, engine in enumerate(engines):
        at = figures.percentiles(engine.rounds)
        low = at["25.0%"]
        right.barh(place, at["75.0%"] - low, left=low, color="C0", alpha=0.5)
        right.plot([low, at["99.0%"]], [place, place], color="C0", linewidth=1)
        right.plot(at["50.0%"], place, "o", color="C0", markersize=5)
    right.set_yticks(range(len(engines)))
    right.invert_yaxis()
    right.set_xscale("log")


def _cold(left: Any, right: Any, engines: Sequence[EngineResult]) -> None:
    seconds = [[r.seconds for r in e.rounds] for e in engines]
    memory = [[(r.memory or 0) / 2**20 for r in e.rounds] for e in engines]
    _bars(left, engines, seconds, "seconds to the first answer")
    _bars(right, engines, memory, "peak memory in MiB")


def _bars(
    axes: Any, engines: Sequence[EngineResult], values: Sequence[Sequence[float]], label: str
) -> None:
    """Medians as bars, least and most as their whiskers."""
    medians = [statistics.median(each) for each in values]
    pairs = list(zip(medians, values, strict=True))
    spread = [[m - min(v) for m, v in pairs], [max(v) - m for m, v in pairs]]
    names = [e.spec.name for e in engines]
    bars = axes.barh(names, medians, xerr=spread, color="C0", alpha=0.7, capsize=3)
    axes.bar_label(bars, fmt="{:.3g}", padding=4, fontsize=8)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    axes.set_xlabel(label)
