"""Dynamic int8 quantisation, and the choice of numbers that keeps it exact on every x86 CPU that clouds rent out."""

from __future__ import annotations

from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from scripts.errors import PrepareError
from scripts.prepare import graph

CPU = "avx2"
OPERATORS = ("MatMul",)
LEAST_SHARE = 0.5


def quantise(source: Path, target: Path) -> None:
    """Write `source` with int8 weights (per channel, 7 bits) and activations quantised to uint8 as they come.

    7 bits (reduce_range), because AVX2 without VNNI adds two u8 x s8 products in 16 bits, which 8-bit weights overflow.
    Raises PrepareError for a model whose weights are mostly convolutions, which this would slow down.
    """
    share = graph.matmul_share(source)
    if share < LEAST_SHARE:
        raise PrepareError(
            f"--precision int8 covers matrix products, which hold only {share:.0%} of this model's weights; "
            "use --precision fp32"
        )
    inferred = target.with_name("inferred.onnx")
    try:
        quant_pre_process(source, inferred, skip_symbolic_shape=True)  # no weight's shape depends on it
        quantize_dynamic(
            inferred, target, list(OPERATORS), per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    except Exception as e:  # onnxruntime raises its own kinds and bare Exception
        raise PrepareError(f"onnxruntime could not quantise the model: {type(e).__name__}: {e}") from e
    finally:
        inferred.unlink(missing_ok=True)
