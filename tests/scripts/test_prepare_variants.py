"""Every variant of every kind of graph: made, loaded by scoring, and its answers close to
float32's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from onnxferry.scoring import cpu
from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import ANY
from onnxferry.scripts.prepare.selection import mixed_precision
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.applicability import skipped
from onnxferry.scripts.prepare.variants.fusion import fuse
from onnxferry.scripts.prepare.variants.int8_embedding import embeddings, quantise_embeddings
from onnxferry.scripts.prepare.variants.operator_groups import groups
from onnxferry.scripts.prepare.variants.table import VARIANTS
from onnxferry.scripts.prepare.variants.variant import Variant, VariantInputs
from onnxferry.system.errors import PrepareError
from tests.cpu_kinds import EXACT, needs_cpu
from tests.scripts import exact_arithmetic
from tests.scripts.graphs import convolutional, exported, feeds, save, value
from tests.test_architecture import ROOT

pytestmark = pytest.mark.toolchain

CPUS = (ANY, *cpu.KINDS)
BY_NAME = {variant.name: variant for variant in VARIANTS}
KINDS = ("bert", "distilbert", "vit", "convolutional", "plain")
PAIRS = [(kind, name) for kind in KINDS for name in BY_NAME]
INT8 = [pair for pair in PAIRS if BY_NAME[pair[1]].precision == "int8"]
FULL_RANGE = [name for name, variant in BY_NAME.items() if "avx2" in variant.not_on]
RUN = [  # on this machine's kernels
    pytest.param(kind, name, marks=[needs_cpu(*EXACT)] if name in FULL_RANGE else [])
    for kind, name in PAIRS
]
# of the numbers' size, with weights far larger than trained ones
CLOSE = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.3}


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, VariantInputs]:
    """A material of each kind; plain is a BERT whose operators are not fused."""
    made = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        if kind == "convolutional":
            source = convolutional(folder / "exported.onnx")
        else:
            source = exported(folder, "bert" if kind == "plain" else kind)
        fused = None if kind == "plain" else fuse(source, folder / "fused.onnx").graph
        made[kind] = VariantInputs(
            source, fused, [feeds(source, rows=3, seed=seed) for seed in range(20)]
        )
    return made


def everything(material: VariantInputs) -> frozenset[str]:
    return frozenset(name for group in groups(material) for name in group.operators)


def by_onnxruntime(path: Path, given: Mapping[str, Array]) -> Array:
    return Session(path, EngineOptions(threads=1)).run(given)[0]


def exactly(path: Path, given: Mapping[str, Array]) -> Array:
    return exact_arithmetic.run(path, given)[0]


def distance(
    material: VariantInputs,
    made: Path,
    given: Mapping[str, Array] | None = None,
    answer: Callable[[Path, Mapping[str, Array]], Array] = by_onnxruntime,
) -> float:
    """The mean difference of the answers from the exported graph's, as a share of the mean size of
    those."""
    given = feeds(material.exported, seed=99) if given is None else given
    want, got = by_onnxruntime(material.exported, given), answer(made, given)
    return float(np.abs(got - want).mean() / np.abs(want).mean())


def is_tried(name: str, material: VariantInputs) -> bool:
    return any(skipped(BY_NAME[name], kind, material) is None for kind in CPUS)


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_a_variant_is_made_and_loaded_like_the_exported_graph(
    kind: str, name: str, materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    material, path = materials[kind], tmp_path / "model.onnx"
    if not is_tried(name, material):  # for what the graph holds, whatever the CPU
        assert len({skipped(BY_NAME[name], cpu, material) for cpu in CPUS}) == 1
        return
    BY_NAME[name].make(material, path, frozenset())
    assert list(tmp_path.iterdir()) == [path]
    made, source = (Session(model, EngineOptions(threads=1)) for model in (path, material.exported))
    assert (made.inputs, made.outputs) == (source.inputs, source.outputs)
    assert made.batch_dependent == ("dynamic" in name)
    assert onnx_file_io.versions(path)[0] == onnx_file_io.versions(material.exported)[0]


@pytest.mark.parametrize(("kind", "name"), RUN)
def test_a_variant_answers_much_as_float32(
    kind: str, name: str, materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    material, variant = materials[kind], BY_NAME[name]
    if is_tried(name, material):
        variant.make(material, tmp_path / "model.onnx", frozenset())
        assert distance(material, tmp_path / "model.onnx") < CLOSE[variant.precision]


@pytest.mark.parametrize(("kind", "name"), INT8)
def test_int8_answers_much_as_float32_where_nothing_overflows(
    kind: str, name: str, materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    """On every CPU, the full range too."""
    material = materials[kind]
    if is_tried(name, material):
        BY_NAME[name].make(material, tmp_path / "model.onnx", frozenset())
        assert distance(material, tmp_path / "model.onnx", answer=exactly) < CLOSE["int8"]


@pytest.mark.parametrize(("kind", "name"), INT8)
def test_what_is_kept_is_float32(
    kind: str, name: str, materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    material, variant = materials[kind], BY_NAME[name]
    if not is_tried(name, material):
        return
    kept, made = tmp_path / "kept.onnx", tmp_path / "made.onnx"
    variant.make(material, kept, everything(material))
    variant.make(material, made, frozenset())
    assert distance(material, kept) < 1e-4
    assert distance(material, made) > distance(material, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_static_graph_are_the_same_bytes_in_any_company(
    kind: str, materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    layers = "-cnn" if kind == "convolutional" else ""
    variant = BY_NAME[f"int8-static{layers}-reduced"]
    variant.make(materials[kind], tmp_path / "model.onnx", frozenset())
    made, given = (
        Session(tmp_path / "model.onnx", EngineOptions(threads=1)),
        feeds(materials[kind].exported, rows=9),
    )
    whole = made.run(given)[0]
    for rows in ([4], [8, 4], [0, 1, 4, 6, 7, 8]):
        part = made.run({name: array[rows] for name, array in given.items()})[0]
        assert part[rows.index(4)].tobytes() == whole[4].tobytes()


def test_one_kept_convolution_has_its_float32_weights_when_it_is_loaded(
    materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    """onnxruntime quantises what lies between uint8 tensors when it loads a graph, whatever its
    maker wanted."""
    import onnxruntime

    material, path = materials["convolutional"], tmp_path / "model.onnx"
    (kept,) = (
        str(n.name)
        for n in onnx_graph.read(material.best).graph
        if n.op_type == "Conv" and n.attributes.get_int("group", 1) == 16
    )
    BY_NAME["int8-static-cnn"].make(material, path, frozenset({kept}))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "loaded.onnx"), 4
    onnxruntime.InferenceSession(str(path), options)
    assert [n.op_type for n in onnx.load(tmp_path / "loaded.onnx").graph.node].count("Conv") == 1


def test_groups_are_named_by_layer_and_role(materials: Mapping[str, VariantInputs]) -> None:
    assert [group.name for group in groups(materials["bert"])] == [
        "layer 0, attention self",
        "layer 0, attention output dense",
        "layer 0, intermediate dense",
        "layer 0, output dense",
        # the last layer asks for the first token alone, by three layers in the place of one
        *(f"layer 1, attention self Attention {part}" for part in ("query", "key", "value")),
        "layer 1, attention output dense",
        "layer 1, intermediate dense",
        "layer 1, output dense",
        "bert pooler dense",
        "classifier",
    ]
    for material in materials.values():
        names = [name for group in groups(material) for name in group.operators]
        assert len(names) == len(set(names)) and set(names) <= {
            n.name for n in onnx_graph.read(material.best).graph
        }


def layered(path: Path, layers: int, name: str = "/layers.{}/{}/MatMul") -> VariantInputs:
    """Products one after the other, four to a layer."""
    nodes, weights = [], {f"w{i}": np.eye(4, dtype=np.float32) for i in range(layers * 4)}
    for i in range(layers * 4):
        label = name.format(i // 4, "abcd"[i % 4])
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"], label))
    return VariantInputs(
        save(path, nodes, [value("x0", "n", 4)], [value(f"x{layers * 4}", "n", 4)], weights), None
    )


@pytest.mark.parametrize(
    ("layers", "name", "first", "count"),
    [
        (10, "/layers.{}/{}/MatMul", "layers 0, a", 40),
        (11, "/layers.{}/{}/MatMul", "layers 0", 11),
        (11, "", "MatMul_0 to MatMul_1", 22),
        (1, "", "MatMul_0", 4),
    ],
)
def test_groups_become_coarser_where_they_are_many(
    layers: int, name: str, first: str, count: int, tmp_path: Path
) -> None:
    """By layers here, and by neighbours where mixed precision ranks them."""
    found = list(mixed_precision.neighbours(groups(layered(tmp_path / "model.onnx", layers, name))))
    assert (found[0], len(found)) == (first, count)


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("fp32", CPUS),
        ("fp32-optimised", CPUS),
        ("fp16-weights", CPUS),
        ("int8-dynamic-u8s8", ("avx512-vnni", "arm64")),
        ("int8-static", ("avx512-vnni", "arm64")),
        ("int8-dynamic-u8s8-reduced", ("avx2", "avx512")),
        ("int8-static-reduced", (ANY, "avx2", "avx512")),
        ("int8-dynamic-u8u8", ("avx2", "avx512")),
        ("int8-static-u8u8", (ANY, "avx2", "avx512")),
        ("int8-static-cnn", ()),
    ],
)
def test_each_kind_of_cpu_has_its_own(
    name: str, tried: tuple[str, ...], materials: Mapping[str, VariantInputs]
) -> None:
    assert (
        tuple(cpu for cpu in CPUS if skipped(BY_NAME[name], cpu, materials["bert"]) is None)
        == tried
    )


def test_an_unknown_cpu_is_named(materials: Mapping[str, VariantInputs]) -> None:
    with pytest.raises(
        ValueError, match="expected one of any, avx2, avx512, avx512-vnni, arm64, got 'riscv'"
    ):
        skipped(BY_NAME["fp32"], "riscv", materials["bert"])


def reason(name: str, material: VariantInputs) -> str | None:
    return skipped(BY_NAME[name], "arm64", material)


def test_a_variant_is_skipped_for_what_the_graph_holds(
    materials: Mapping[str, VariantInputs], tmp_path: Path
) -> None:
    bert, pictures = materials["bert"], materials["convolutional"]
    assert (
        reason("fp32-optimised", materials["plain"]) == "no operators of the graph could be fused"
    )
    assert reason("int8-static-cnn", bert) == "the graph has no convolutions with constant weights"
    assert reason("int8-dynamic-u8s8", pictures) == "linear layers hold only 4% of the weights"
    assert (
        reason("int8-static", VariantInputs(bert.exported, None))
        == "there are no inputs to measure the activations on"
    )
    assert reason("fp16-weights", pictures) == "the weights are too small for their size to matter"
    BY_NAME["int8-dynamic-u8s8"].make(bert, tmp_path / "model.onnx", frozenset())
    quantised = VariantInputs(tmp_path / "model.onnx", None, bert.calibration)
    others = [variant for variant in VARIANTS if variant.name != "fp32"]
    found = {skipped(variant, cpu, quantised) for variant in others for cpu in CPUS}
    assert found == {"the graph is quantised already: it is left as it is"}
    assert skipped(BY_NAME["fp32"], "avx2", quantised) is None


def test_a_graph_without_weights_or_of_strings_is_left_alone(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    ends = [value(name, "n", kind=TensorProto.STRING) for name in "xy"]
    save(tmp_path / "strings.onnx", nodes, ends[:1], ends[1:], {})
    assert "strings" in str(reason("fp16-weights", VariantInputs(tmp_path / "strings.onnx", None)))


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_and_a_shared_weight_are_quantised_once(transposed: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weight = draw.standard_normal((8, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "first", transB=transposed),
        helper.make_node("Gemm", ["h", "w"], ["y"], "second", transB=transposed),
        helper.make_node("Gemm", ["y", "w", "b"], ["z"], "scaled", alpha=0.5),
    ]
    weights = {"w": weight, "b": np.ones(8, np.float32)}
    save(tmp_path / "exported.onnx", nodes, [value("x", "n", 8)], [value("z", "n", 8)], weights)
    given = [{"x": draw.standard_normal((4, 8)).astype(np.float32)} for _ in range(4)]
    material = VariantInputs(tmp_path / "exported.onnx", None, given)
    for name in ("int8-dynamic-u8s8", "int8-dynamic-u8u8", "int8-static"):
        BY_NAME[name].make(material, tmp_path / "made.onnx", frozenset())
        made = onnx.load(tmp_path / "made.onnx").graph
        assert [node.op_type for node in made.node].count("Gemm") == 1  # alpha
        assert (
            sum(
                tensor.dims == [8, 8] and tensor.data_type != TensorProto.FLOAT
                for tensor in made.initializer
            )
            == 1
        )
        assert distance(material, tmp_path / "made.onnx", given[0], exactly) < 0.03


def looked_up(folder: Path) -> tuple[Path, Array]:
    """A graph that looks rows up, and its table: rows of very different size, one of zeros."""
    draw = np.random.default_rng(0)
    table = draw.standard_normal((500, 4)).astype(np.float32)
    table *= draw.uniform(0.001, 10, (500, 1)).astype(np.float32)
    table[7] = 0
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "words"),
        helper.make_node("MatMul", ["rows", "w"], ["y"], "product"),
    ]
    ids = value("ids", "n", "m", kind=TensorProto.INT64)
    weights = {"table": table, "w": np.eye(4, dtype=np.float32)}
    return save(folder / "exported.onnx", nodes, [ids], [value("y", "n", "m", 4)], weights), table


@pytest.mark.parametrize(
    ("keep", "read_rows", "share", "most"),
    [
        ((), 2000, 0.6, 1 / 253),  # words: scaled as they are read
        ((), 2001, 0.6, 1 / 253),  # positions: the table is scaled when the graph is loaded
        (("words",), 2000, 0.8, 1 / 2047),  # float16
    ],
)
def test_an_embedding_is_stored_with_a_scale_a_row_or_as_float16(
    keep: tuple[str, ...], read_rows: int, share: float, most: float, tmp_path: Path
) -> None:
    source, table = looked_up(tmp_path)
    model = onnx_graph.read(source)
    assert embeddings(model.graph) == []  # too small to be worth it
    assert [node.name for node in embeddings(model.graph, min_size=2000)] == ["words"]
    quantise_embeddings(model.graph, frozenset(keep), min_size=2000, read_rows=read_rows)
    onnx_graph.save(model, tmp_path / "made.onnx")
    got = by_onnxruntime(tmp_path / "made.onnx", {"ids": np.arange(500)[None]})[0]
    assert (np.abs(got - table).max(1) <= np.abs(table).max(1) * most).all()
    sizes = [(tmp_path / name).stat().st_size for name in ("made.onnx", "exported.onnx")]
    assert sizes[0] < sizes[1] * share


def test_what_float16_cannot_hold_stays_as_it_is(tmp_path: Path) -> None:
    source, _ = looked_up(tmp_path)
    model = onnx_graph.read(source)
    model.graph.initializers["table"].const_value = ir.tensor(np.full((500, 4), 7e4, np.float32))
    quantise_embeddings(model.graph, frozenset({"words"}), min_size=2000)
    assert [node.op_type for node in model.graph] == ["Gather", "MatMul"]


def test_halved_weights_are_those_that_fit_and_are_not_kept(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    weights = {
        name: draw.standard_normal((64, 64)).astype(np.float32) for name in ("a", "b", "large")
    }
    weights["large"][0, 0] = 70000  # float16 ends at 65504
    weights["small"] = np.ones((64, 4), np.float32)
    nodes = [
        helper.make_node("MatMul", [f"y{i}" if i else "x", n], [f"y{i + 1}"], n)
        for i, n in enumerate(weights)
    ]
    save(tmp_path / "exported.onnx", nodes, [value("x", "n", 64)], [value("y4", "n", 4)], weights)
    BY_NAME["fp16-weights"].make(
        VariantInputs(tmp_path / "exported.onnx", None), tmp_path / "m.onnx", frozenset({"b"})
    )
    made = onnx.load(tmp_path / "m.onnx").graph
    assert [t.name for t in made.initializer if t.data_type == TensorProto.FLOAT16] == ["a_half"]
    given = {"x": draw.standard_normal((4, 64)).astype(np.float32)}
    assert (
        distance(VariantInputs(tmp_path / "exported.onnx", None), tmp_path / "m.onnx", given)
        < 0.001
    )


@pytest.mark.parametrize("name", ["int8-dynamic-u8s8-reduced", "fp16-weights"])
def test_weights_that_are_declared_as_inputs_are_no_inputs_of_a_variant(
    name: str, tmp_path: Path
) -> None:
    """Exporters of old list them as inputs too; a variant stores them under other names."""
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    inputs = [value("x", "n", 64), value("w", 64, 64)]
    source = save(tmp_path / "exported.onnx", nodes, inputs, [value("y", "n", 64)], {"w": weight})
    BY_NAME[name].make(VariantInputs(source, None), tmp_path / "made.onnx", frozenset())
    given = {"x": np.ones((2, 64), np.float32)}
    assert [i.name for i in Session(tmp_path / "made.onnx").inputs] == ["x"]
    assert distance(VariantInputs(source, None), tmp_path / "made.onnx", given) < 0.05


def test_an_old_opset_of_convolutions_is_said(tmp_path: Path) -> None:
    material = VariantInputs(convolutional(tmp_path / "exported.onnx", 11), None, [])
    assert "opset 11: int8 convolutions need 13 or more" in str(
        reason("int8-static-cnn", replace(material, calibration=[{}]))
    )
    with pytest.raises(PrepareError, match="opset 11: int8 convolutions need 13 or more"):
        BY_NAME["int8-static-cnn"].make(material, tmp_path / "made.onnx", frozenset())


def test_what_is_no_onnx_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(PrepareError, match="not readable as an ONNX model"):
        groups(VariantInputs(tmp_path / "model.onnx", None))


def test_onnx_runtime_sends_no_telemetry() -> None:
    """It reads its environment when it is first imported."""
    code = (
        "import builtins, os; os.environ.pop('ORT_DISABLE_TELEMETRY', None); real ="
        " builtins.__import__\ndef seen(name, *args, **kwargs):\n    if name.partition('.')[0] =="
        " 'onnxruntime': assert os.environ['ORT_DISABLE_TELEMETRY'] == '1', name\n    return"
        " real(name, *args, **kwargs)\nbuiltins.__import__ = seen; import"
        " scripts.prepare.variants.fusion"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_variant_has_a_line_for_the_report() -> None:
    assert len(BY_NAME) == len(VARIANTS) and all(isinstance(v, Variant) and v.how for v in VARIANTS)
    assert {variant.precision for variant in VARIANTS} == {"fp32", "int8", "fp16"}


def test_a_test_says_which_cpu_kinds_it_holds_for() -> None:
    assert set(EXACT) == {"avx512-vnni", "arm64"}
    assert needs_cpu(*cpu.KINDS).args == (cpu.kind() is None,)
    with pytest.raises(ValueError, match="expected some of avx2, avx512, avx512-vnni, arm64"):
        needs_cpu("vnni")
