"""What a variant must hold to be shipped, and the sentence that says which bound it breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxferry.scripts.prepare.report.formatting import changed
from onnxferry.scripts.prepare.verification.comparison import Outcome, figures, summary
from onnxferry.system.errors import PrepareError, UsageError

# of fp32: exporters and fused operators reorder additions, and deep models add that up
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Gate:
    """The bounds, as the user's flags give them. `tolerance` None: TOLERANCE for fp32, none for
    other precisions."""

    tolerance: float | None = None
    min_agreement: float = 0.9
    max_loss: float = 0.01

    def of(self, precision: str) -> float | None:
        """The tolerance of a precision."""
        return TOLERANCE if self.tolerance is None and precision == "fp32" else self.tolerance


def share(text: str) -> float:
    """A share from "1%" or "0.01". Raises UsageError with what was given when it is neither, or not
    within 0 to 1."""
    try:
        value = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError as e:
        raise UsageError(f"--max-loss {text}: give a share such as 1% or 0.01") from e
    if not 0 <= value <= 1:
        raise UsageError(f"--max-loss {text}: must be between 0 and 100%")
    return value


def difference(outcomes: Sequence[Outcome], gate: Gate, precision: str) -> str | None:
    """Which bound of the difference and of the agreement `outcomes` break; None when they keep
    both."""
    found, tolerance = figures(outcomes), gate.of(precision)
    if tolerance is not None and not found["max_abs"] <= tolerance:
        return (
            f"raw outputs differ by up to {found['max_abs']:.3g}, more than {tolerance:g}"
            " (--tolerance)"
        )
    if not found["agreement"] >= gate.min_agreement:
        return (
            f"{found['agreement']:.1%} of the answers on {found['inputs']} inputs are the source"
            f" model's, fewer than {gate.min_agreement:.0%} (--min-agreement)"
        )
    return None


def loss(found: Mapping[str, float], source: Mapping[str, float], gate: Gate) -> str | None:
    """Which metric of an evaluation set lost too much; None when none did."""
    name, worst = worst_loss(found, source)
    if worst <= gate.max_loss:
        return None
    return (
        f"{name} {found[name]:.2f}, the source model's is {source[name]:.2f}: a loss of"
        f" {percent(worst)}, more than {percent(gate.max_loss)} (--max-loss)"
    )


def worst_loss(found: Mapping[str, float], source: Mapping[str, float]) -> tuple[str, float]:
    """The metric that lost the largest part of the source model's, and that part; below 0 where all
    have gained."""
    losses = {
        name: (value - found[name]) / value if value else 0.0 for name, value in source.items()
    }
    return max(losses.items(), key=lambda entry: entry[1])


def changes(same: float, inputs: int, gate: Gate) -> str | None:
    """That too many answers changed, where no evaluation set is given; None when they did not."""
    if 1 - same <= gate.max_loss + 1e-9:
        return None
    return (
        f"{round((1 - same) * inputs)} of {inputs} answers changed ({percent(1 - same)}), more than"
        f" {percent(gate.max_loss)} (--max-loss)"
    )


def require(outcomes: Sequence[Outcome], gate: Gate) -> None:
    """Raise PrepareError when the exported graph, of which all variants are made, is not its
    source: with the figure, the worst input, and the flag that would let it pass."""
    if difference(outcomes, gate, "fp32") is None:
        return
    found, tolerance = figures(outcomes), gate.of("fp32")
    if tolerance is not None and not found["max_abs"] <= tolerance:
        raise PrepareError(
            f"the ONNX model differs from its source by more than {tolerance:g} (--tolerance),"
            f" {summary(outcomes)}"
        )
    raise PrepareError(
        f"fewer than {gate.min_agreement:.0%} of the answers are the source model's"
        f" (--min-agreement), {summary(outcomes)}. Changed:"
        f" {'; '.join(str(change) for change in changed(outcomes)[:3])}"
    )


def percent(value: float) -> str:
    """0.0123 -> 1.23%, 0.01 -> 1%."""
    return f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%"
