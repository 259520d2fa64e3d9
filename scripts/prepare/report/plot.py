"""The report's plot: accuracy against latency; a larger mark is a larger file."""

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
    """Write the plot of the measured `results` as SVG. `titles`: of the plot and of the vertical
    axis, in % of the source model. The gate is a line."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "onnxferry", "font.size": 9}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        _marks(axes, results)
        _gate(axes, 100 * (1 - max_metric_drop))
        axes.set(title=titles[0], ylabel=titles[1], xlim=(0, 1.2 * max(map(_x, results))))
        axes.set_xlabel("ms (geometric mean of a single request, and of an input among many)")
        axes.grid(alpha=0.3)
        axes.margins(y=0.2)
        _label(axes, results)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _marks(axes: Any, results: Sequence[CandidateResult]) -> None:
    sizes = [r.size or 0 for r in results]
    areas = [_SMALLEST + (_LARGEST - _SMALLEST) * size / max(*sizes, 1) for size in sizes]
    edges = [COLOURS[r.status] for r in results]
    faces = ["none" if r.status == REJECTED else f"{COLOURS[r.status]}cc" for r in results]
    x, y = [*map(_x, results)], [*map(_y, results)]
    axes.scatter(x, y, s=areas, facecolors=faces, edgecolors=edges)


def _gate(axes: Any, height: float) -> None:
    axes.axhline(height, color="grey", linestyle="--", linewidth=0.8)
    place = {"xytext": (3, 3), "textcoords": "offset points"}
    axes.annotate(f"gate {height:g}", (0, height), color="grey", **place)


def _label(axes: Any, results: Sequence[CandidateResult]) -> None:
    """At three heights by turns, so that few overlap."""
    for i, result in enumerate(sorted(results, key=_x)):
        text = f"{result.name}, {(result.size or 0) / 1e6:.0f} MB"
        place = {"xytext": (0, 14 + _LINE * (i % 3)), "textcoords": "offset points", "ha": "center"}
        colour = COLOURS[result.status]
        axes.annotate(text, (_x(result), _y(result)), fontsize=8, color=colour, **place)


def _x(result: CandidateResult) -> float:
    return result.latency.mean if result.latency else 0.0


def _y(result: CandidateResult) -> float:
    return 100 * (1 - result.evaluation.drop) if result.evaluation else 0.0
