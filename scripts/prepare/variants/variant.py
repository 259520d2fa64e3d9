"""Shim until variants is merged."""

from onnxferry.scripts.prepare.variants.variant_inputs import Group as OperatorGroup
from onnxferry.scripts.prepare.variants.variant_inputs import Material as VariantInputs
from onnxferry.scripts.prepare.variants.variant_inputs import Variant

__all__ = ["OperatorGroup", "Variant", "VariantInputs"]
