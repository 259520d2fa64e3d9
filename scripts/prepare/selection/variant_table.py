"""The table of variants as prepare uses it: what is tried, when not, what mixed precision may keep,
and the fusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:  # they bring onnx, which may not be installed: the loaders say so
    from onnxferry.scripts.prepare.variants import Group, Material, Variant
    from onnxferry.scripts.prepare.variants.fusion import Architecture, Fusion

Fuse: TypeAlias = "Callable[[Path, Path, Architecture | None], Fusion]"


@dataclass(frozen=True)
class Ways:
    """`variants`: the first is the graph as exported, the others are held against it. The rest as
    in variants."""

    variants: Sequence[Variant]
    skipped: Callable[[Variant, str, Material], str | None]
    groups: Callable[[Material], Sequence[Group]]
    fuse: Fuse

    def asked(self, options: Options) -> Sequence[Variant]:
        """Those that may be chosen. Raises UsageError for a name that is unknown, or of another
        precision."""
        kind = options.precision
        fits = [v for v in self.variants if kind in (AUTO, v.precision)]
        if options.variant is None:
            return fits
        known = ", ".join(v.name for v in self.variants)
        if options.variant not in known.split(", "):
            raise UsageError(f"--variant {options.variant}: choose one of {known}")
        found = [v for v in fits if v.name == options.variant]
        if not found:
            raise UsageError(
                f"--variant {options.variant}: is not {kind} (--precision); leave one of both out"
            )
        return found


def shipped() -> Ways:
    """The table that the command line uses."""
    from onnxferry.scripts.prepare import variants
    from onnxferry.scripts.prepare.variants import fusion

    return Ways(variants.VARIANTS, variants.skipped, variants.groups, fusion.fuse)


def architecture(config: Mapping[str, Any]) -> Architecture | None:
    """What a transformers configuration tells of an encoder; None where it does not tell."""
    from onnxferry.scripts.prepare.variants.fusion import Architecture

    names = (
        ("num_hidden_layers", "n_layers"),
        ("num_attention_heads", "n_heads"),
        ("hidden_size", "dim"),
    )
    found = [
        config[name]
        for spellings in names
        for name in spellings
        if isinstance(config.get(name), int)
    ]
    if len(found) != len(names):
        return None
    layers, heads, size = found
    activation = config.get("hidden_act") or config.get("activation") or Architecture.activation
    return Architecture(layers, heads, size, str(activation))
