"""The plot of the report: accuracy against latency; a larger mark is a larger file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.selection.candidates import CHOSEN, REJECTED, WITHIN, CandidateResult

COLOURS = {CHOSEN: "#1a7f37", WITHIN: "#0969da", REJECTED: "#cf222e"}
_SMALLEST, _LARGEST = 60.0, 600.0  # areas of the marks, in square points
_LINE = 13  # points: the height of a label


def draw(
    results: Sequence[CandidateResult], max_metric_drop: float, titles: tuple[str, str], path: Path
) -> None:
    """Write the plot of the measured `results` as SVG. `titles`: of the plot, and of the vertical
    axis, in % of the source model. A line across it is the gate."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "onnxferry", "font.size": 9}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        for status, colour in COLOURS.items():
            some = [r for r in results if r.status == status]
            axes.scatter(
                [_x(r) for r in some],
                [_y(r) for r in some],
                s=[_area(r, results) for r in some],
                label=status,
                facecolor="none" if status == REJECTED else colour,
                edgecolor=colour,
                alpha=0.8,
            )
        gate = 100 * (1 - max_metric_drop)
        axes.axhline(gate, color="grey", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"gate {gate:g}", (0, gate), xytext=(3, 3), textcoords="offset points", color="grey"
        )
        axes.set_title(titles[0])
        axes.set_xlabel("ms (geometric mean of a single request, and of an input among many)")
        axes.set_ylabel(titles[1])
        axes.grid(alpha=0.3)
        axes.margins(y=0.2)
        axes.set_xlim(0, 1.2 * max((_x(r) for r in results), default=1.0))
        _label(axes, results)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _label(axes: Any, results: Sequence[CandidateResult]) -> None:
    """A name and a size above each mark, at three heights by turns, so that few overlap."""
    for i, result in enumerate(sorted(results, key=_x)):
        axes.annotate(
            f"{result.name}, {(result.size or 0) / 1e6:.0f} MB",
            (_x(result), _y(result)),
            xytext=(0, 14 + _LINE * (i % 3)),
            textcoords="offset points",
            fontsize=8,
            ha="center",
            color=COLOURS[result.status],
        )


def _x(result: CandidateResult) -> float:
    return result.latency.mean if result.latency else 0.0


def _y(result: CandidateResult) -> float:
    return 100 * (1 - result.evaluation.drop) if result.evaluation else 0.0


def _area(result: CandidateResult, results: Sequence[CandidateResult]) -> float:
    largest = max(r.size or 0 for r in results)
    return _SMALLEST + (_LARGEST - _SMALLEST) * (result.size or 0) / max(largest, 1)
