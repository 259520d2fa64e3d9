"""Static int8 for graphs with convolutions, by onnxruntime's quantiser: QuantizeLinear and DequantizeLinear around the
operators, which onnxruntime takes together when it loads the graph."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from scoring.engine import Array, Session
from scripts.errors import PrepareError
from scripts.prepare.quiet import quiet
from scripts.prepare.variants.material import Material
from scripts.prepare.variants.view import Graph

OPERATORS = (
    "Conv",
    "MatMul",
    "Gemm",
    "Add",
    "Mul",
    "GlobalAveragePool",
    "AveragePool",
    "MaxPool",
    "Concat",
    "Clip",
    "Relu",
)


class _Feeds(CalibrationDataReader):  # type: ignore[misc]
    """The calibration's inputs, as onnxruntime's quantiser asks for them."""

    def __init__(self, material: Material) -> None:
        self._graph = Session(material.exported, 1)
        self._left: Iterator[Mapping[str, Array]] = iter(material.calibration)

    def get_next(self) -> Mapping[str, Array] | None:
        feeds = next(self._left, None)
        return None if feeds is None else self._graph._fed(feeds)


def quantise_convolutions(material: Material, target: Path, keep: frozenset[str], reduced: bool) -> None:
    """Write the graph with uint8 activations (asymmetric) and int8 weights (per channel; 7 bits where `reduced`)."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, quiet():
        named, ready = Path(folder) / "named.onnx", Path(folder) / "ready.onnx"
        Graph.read(material.best).save(named)  # with the names that `keep` has
        try:
            quant_pre_process(named, ready, skip_symbolic_shape=True)  # normalisation and padding go into convolutions
            quantize_static(
                ready, target, _Feeds(material), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(OPERATORS),
                per_channel=True, reduce_range=reduced, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                nodes_to_exclude=sorted(keep),
            )  # fmt: skip
        except Exception as e:  # onnxruntime raises its own kinds and bare Exception
            raise PrepareError(f"onnxruntime could not quantise the model: {type(e).__name__}: {e}") from e
