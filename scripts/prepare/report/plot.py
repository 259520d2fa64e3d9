"""The picture of the report: accuracy against latency, the size of a mark as the size of the
file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.selection.candidates import CHOSEN, REJECTED, WITHIN, Trial

COLOURS = {CHOSEN: "#1a7f37", WITHIN: "#0969da", REJECTED: "#cf222e"}
_SMALLEST, _LARGEST = 60.0, 600.0  # areas of the marks, in square points
_WIDE, _HIGH = 0.3, 0.08  # of the axes' spans: what a label takes
_LINE = 13  # points of height


def draw(trials: Sequence[Trial], max_loss: float, heads: tuple[str, str], path: Path) -> None:
    """Write the picture of the measured `trials`. `heads`: the title, and what the upright axis
    keeps of the source model, in %; a line across it is the gate."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "onnxferry", "font.size": 9}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        for status, colour in COLOURS.items():
            some = [t for t in trials if t.status == status]
            axes.scatter(
                [_x(t) for t in some],
                [_y(t) for t in some],
                s=[_area(t, trials) for t in some],
                label=status,
                facecolor="none" if status == REJECTED else colour,
                edgecolor=colour,
                alpha=0.8,
            )
        gate = 100 * (1 - max_loss)
        axes.axhline(gate, color="grey", linestyle="--", linewidth=0.8)
        axes.annotate(
            f"gate {gate:g}", (0, gate), xytext=(3, 3), textcoords="offset points", color="grey"
        )
        axes.set(
            title=heads[0],
            xlabel="ms (geometric mean of a single request, and of an input among many)",
        )
        axes.set_ylabel(heads[1])
        axes.grid(alpha=0.3)
        axes.margins(y=0.2)
        axes.set_xlim(0, 1.2 * max((_x(t) for t in trials), default=1.0))
        _label(axes, trials)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _label(axes: Any, trials: Sequence[Trial]) -> None:
    """A name and a size above each mark, higher where another label is."""
    taken: list[tuple[float, float]] = []
    spans = [abs(high - low) for low, high in (axes.get_xlim(), axes.get_ylim())]
    for trial in sorted(trials, key=_x):
        x, y = _x(trial), _y(trial)
        while any(
            abs(x - a) < _WIDE * spans[0] and abs(y - b) < _HIGH * spans[1] for a, b in taken
        ):
            y += _HIGH * spans[1]
        lifted = round((y - _y(trial)) / (_HIGH * spans[1]))
        taken.append((x, y))
        axes.annotate(
            f"{trial.name}, {(trial.size or 0) / 1e6:.0f} MB",
            (x, _y(trial)),
            xytext=(0, 14 + _LINE * lifted),
            textcoords="offset points",
            fontsize=8,
            ha="center",
            color=COLOURS[trial.status],
        )


def _x(trial: Trial) -> float:
    return trial.speed.mean if trial.speed else 0.0


def _y(trial: Trial) -> float:
    return 100 * (1 - trial.score.loss) if trial.score else 0.0


def _area(trial: Trial, trials: Sequence[Trial]) -> float:
    largest = max(t.size or 0 for t in trials)
    return _SMALLEST + (_LARGEST - _SMALLEST) * (trial.size or 0) / max(largest, 1)
