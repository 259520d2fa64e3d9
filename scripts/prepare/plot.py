"""The picture of the report: accuracy against latency, the size of a mark as the size of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.prepare.trials import CHOSEN, REJECTED, WITHIN, Trial

COLOURS = {CHOSEN: "#1a7f37", WITHIN: "#0969da", REJECTED: "#cf222e"}
_SMALLEST, _LARGEST = 60.0, 600.0  # areas of the marks, in square points


def draw(trials: Sequence[Trial], metric: bool, title: str, path: Path) -> None:
    """Write the picture of the measured `trials`; the upright axis is 100 % minus the loss, which is of a metric or of
    the answers' agreement."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "onnxferry", "font.size": 9}):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        for status, colour in COLOURS.items():
            some = [t for t in trials if t.status == status]
            axes.scatter(
                [_x(t) for t in some], [_y(t) for t in some], s=[_area(t, trials) for t in some], label=status,
                facecolor="none" if status == REJECTED else colour, edgecolor=colour, alpha=0.8,
            )  # fmt: skip
        _label(axes, trials)
        axes.set_title(title)
        axes.set_xlabel("ms a request (geometric mean of one input, and an input of many)")
        axes.set_ylabel("metric kept, % of the source model's" if metric else "answers as the source model's, %")
        axes.grid(alpha=0.3)
        axes.margins(0.2)
        axes.set_xlim(left=0)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _label(axes: object, trials: Sequence[Trial]) -> None:
    """A name and a size beside each mark; those that would lie on each other are moved apart."""
    spots: list[tuple[float, float]] = []
    for trial in sorted(trials, key=lambda t: (_y(t), _x(t))):
        lifted = sum(1 for x, y in spots if _near(x, _x(trial), trials, _x) and _near(y, _y(trial), trials, _y))
        spots.append((_x(trial), _y(trial)))
        text = f"{trial.name}, {(trial.size or 0) / 1e6:.0f} MB"
        axes.annotate(  # type: ignore[attr-defined]
            text, (_x(trial), _y(trial)), xytext=(14, 6 + 13 * lifted), textcoords="offset points", fontsize=8,
            arrowprops={"arrowstyle": "-", "alpha": 0.3, "linewidth": 0.6}, color=COLOURS[trial.status],
        )  # fmt: skip


def _near(a: float, b: float, trials: Sequence[Trial], of: object) -> bool:
    values = [of(t) for t in trials]  # type: ignore[operator]
    return bool(abs(a - b) <= 0.12 * (max(values) - min(values)))


def _x(trial: Trial) -> float:
    return trial.speed.mean if trial.speed else 0.0


def _y(trial: Trial) -> float:
    return 100 * (1 - trial.score.loss) if trial.score else 0.0


def _area(trial: Trial, trials: Sequence[Trial]) -> float:
    largest = max(t.size or 0 for t in trials)
    return _SMALLEST + (_LARGEST - _SMALLEST) * (trial.size or 0) / max(largest, 1)
