"""Models of any size: no step puts all weights into one protobuf, and what is made of weights in a
file of their own is what is made of weights in the graph. Here with tiny models and low limits;
test_prepare_large.py does the same beyond 2 GB."""

from __future__ import annotations

import errno
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from onnxferry import scoring
from onnxferry.scoring import cpu as cpu_kinds
from onnxferry.scoring.engine import Session
from onnxferry.scripts.prepare import disk_space, onnx_file_io
from onnxferry.scripts.prepare.options import ANY, Options
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.sources import checkpoint
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.staging import staging
from onnxferry.scripts.prepare.variants import fusion, rounding
from onnxferry.scripts.prepare.variants.applicability import skipped
from onnxferry.scripts.prepare.variants.table import SHIPPED, VARIANTS
from onnxferry.scripts.prepare.variants.variant import Variant, VariantInputs
from onnxferry.system.errors import PrepareError, UsageError
from tests import tiny
from tests.scripts import checkpoints
from tests.scripts.graphs import convolutional, exported, feeds, save, value

LIMIT = 60_000  # bytes of a protobuf: more than these graphs have without their weights


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a protobuf held LIMIT bytes; weights are external however small they are."""
    monkeypatch.setattr(onnx_file_io, "EXTERNAL_FROM", 0)
    monkeypatch.setattr(onnx_file_io, "LIMIT", LIMIT)
    monkeypatch.setattr(fusion, "READ", 2048)


def made(source: Path, folder: Path) -> Mapping[str, Path]:
    """The graph in `folder`, fused, and every variant that can be made of it."""
    graph, fused = folder / "exported.onnx", folder / "fused.onnx"
    onnx_file_io.copy(source, graph)
    given = [feeds(graph, rows=2, seed=seed) for seed in range(3)]
    inputs = VariantInputs(graph, fusion.fuse(graph, fused).graph, given)
    found = {"exported": graph, "fused": fused}
    for variant in VARIANTS:
        if variant.method != "half" and not skipped(variant, "avx512-vnni", inputs):
            found[variant.name] = folder / f"{variant.name}.onnx"
            variant.make(inputs, found[variant.name], frozenset())
    half = next(v for v in VARIANTS if v.method == "half")
    half.make(inputs, folder / "half.onnx", frozenset())
    return found | {"half": folder / "half.onnx"}


@pytest.mark.parametrize("kind", ["bert", "convolutional"])
def test_every_variant_is_the_same_with_weights_in_a_file_of_their_own(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    is_bert = kind == "bert"
    source = exported(tmp_path, kind) if is_bert else convolutional(tmp_path / "conv.onnx", 12)
    folders = [tmp_path / "inside", tmp_path / "beside"]
    for folder in folders:
        folder.mkdir()
    want = made(source, folders[0])
    request.getfixturevalue("tight")
    got = made(source, folders[1])
    assert len(want) >= 5
    assert want.keys() == got.keys()
    for name in want:
        alone, split = onnx.load(want[name]), onnx.load(got[name])
        assert [n.SerializeToString() for n in alone.graph.node] == [
            n.SerializeToString() for n in split.graph.node
        ], name
        for a, b in zip(alone.graph.initializer, split.graph.initializer, strict=True):
            np.testing.assert_array_equal(numpy_helper.to_array(a), numpy_helper.to_array(b))
        assert not want[name].with_name(f"{name}.onnx.data").exists()
        if is_bert:
            assert got[name].stat().st_size < LIMIT < want[name].stat().st_size, name
    assert not [p for p in folders[1].iterdir() if "tmp" in p.name]


@pytest.mark.toolchain
def test_prepare_goes_the_whole_way_beyond_the_limit(
    tight: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lets the source model go after its graph was compared with it."""
    folder = checkpoints.bert(tmp_path / "checkpoint", "text-classification")
    models, alive, load = list[weakref.ref[Any]](), list[bool](), checkpoint.load

    def loaded(options: Options) -> ModelSource:
        source = load(options)
        cells = [cell.cell_contents for cell in source.export.__closure__ or ()]
        models.extend(weakref.ref(held) for held in cells if isinstance(held, torch.nn.Module))
        return source

    def watched(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        alive.extend(model() is not None for model in models)
        onnx_file_io.copy(inputs.exported, target)

    monkeypatch.setattr(checkpoint, "load", loaded)
    (int8,) = (v for v in VARIANTS if v.name == "int8-static-reduced")
    rows = (VARIANTS[0], Variant("fp32-copy", "fp32", "a copy", watched), int8)
    options = Options(str(folder), tmp_path / "out", min_agreement=0.1, max_metric_drop=1.0)
    spec = prepare(options, replace(SHIPPED, variants=rows))
    assert alive == [False]
    assert set(spec.files) == {"model.onnx", "model.onnx.data", "tokenizer.json"}
    became = {row["name"]: row for row in spec.provenance["variants"]}
    assert {row["status"] for row in became.values()} == {"chosen", "within"}
    assert became["int8-static-reduced"]["max_abs"] > became["fp32-copy"]["max_abs"] > 0
    assert spec.golden is not None
    assert scoring.load(tmp_path / "out").handle(spec.golden.request).status == 200
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint", "out"}


def weights(path: Path, place: Mapping[str, object], count: int = 300) -> Path:
    """y = x + w, of which w [300] is said to be in a file beside the graph; `count` numbers are."""
    name = str(place.get("location", "weights.bin"))
    array = np.arange(count, dtype=np.float32)
    if not Path(name).is_absolute() and ".." not in name:
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        array.tofile(path.parent / name)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"], "add")]
    x, y = (value(n, "batch", 300) for n in "xy")
    save(path, nodes, [x], [y], {"w": np.zeros(300, np.float32)})
    model = onnx.load(path)
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, said in {"location": name, **place}.items():
        tensor.external_data.add(key=key, value=str(said))
    path.write_bytes(model.SerializeToString())
    return path


BAD: list[tuple[Mapping[str, object], int, str]] = [
    ({}, 299, "end at byte 1,200, but the file has 1,196: it is cut off"),
    ({"offset": 4}, 300, "end at byte 1,204, but the file has 1,200"),
    ({"length": 8}, 300, "8 bytes, but FLOAT [300] takes 1,200"),
    ({"offset": -4}, 300, "non-negative, got -4"),
    ({"location": "../weights.bin"}, 300, "in ../weights.bin, outside of the model's folder"),
    ({"location": "/etc/passwd"}, 300, "in /etc/passwd, outside of the model's folder"),
]


@pytest.mark.parametrize(("place", "count", "said"), BAD, ids=[said for *_, said in BAD])
def test_what_is_wrong_with_a_weights_file_is_told_with_the_sizes(
    place: Mapping[str, object], count: int, said: str, tmp_path: Path
) -> None:
    source = weights(tmp_path / "source.onnx", place, count)
    for use in (partial(onnx_file_io.copy, target=tmp_path / "made.onnx"), onnx_file_io.files):
        with pytest.raises(PrepareError, match=r"source\.onnx: weights 'w'") as e:
            use(source)
        assert said in str(e.value)
    assert not (tmp_path / "made.onnx").exists()


def test_a_weights_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = weights(tmp_path / "source.onnx", {})
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(PrepareError, match=r"weights\.bin is not there: copy it too"):
        onnx_file_io.copy(source, tmp_path / "made.onnx")


@pytest.mark.parametrize("low", [False, True])
def test_weights_are_taken_from_any_files_beside_the_graph(
    low: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another name, in a folder, behind a link as in a download cache, or of a graph inside."""
    monkeypatch.setattr(onnx_file_io, "EXTERNAL_FROM", 0 if low else 10**6)
    source = weights(tmp_path / "source" / "model.onnx", {"location": "more/part 1"})
    real = source.parent / "more" / "part 1"
    real.rename(tmp_path / "blob")
    real.symlink_to(tmp_path / "blob")
    assert onnx_file_io.files(source) == [source, real]
    made = tmp_path / "made" / "model.onnx"
    made.parent.mkdir()
    onnx_file_io.copy(source, made)
    x = np.ones((2, 300), np.float32)
    np.testing.assert_array_equal(Session(made).run({"x": x})[0], x + np.arange(300))
    names = {"model.onnx", "model.onnx.data"} if low else {"model.onnx"}
    assert {p.name for p in made.parent.iterdir()} == names


def test_weights_of_a_graph_inside_a_graph_are_taken_too(tmp_path: Path) -> None:
    inner = weights(tmp_path / "inner.onnx", {})
    body = onnx.load(inner, load_external_data=False).graph
    del body.input[:]
    body.name = "body"
    nodes = [helper.make_node("If", ["c"], ["z"], "if", then_branch=body, else_branch=body)]
    c = value("c", kind=TensorProto.BOOL)
    x, z = value("x", "batch", 300), value("z", "batch", 300)
    source = save(tmp_path / "outer.onnx", nodes, [c, x], [z], {})
    (tmp_path / "made").mkdir()
    onnx_file_io.copy(source, made := tmp_path / "made" / "model.onnx")
    feeds = {"c": np.array(True), "x": np.ones((1, 300), np.float32)}
    np.testing.assert_array_equal(Session(made).run(feeds)[0], 1 + np.arange(300)[None])
    assert {p.name for p in onnx_file_io.files(source)} == {"outer.onnx", "weights.bin"}
    assert onnx_file_io.files(made) == [made]


def test_a_graph_that_is_too_large_without_its_weights_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file_io, "LIMIT", 1000)
    source, made = tiny.product_graph(tmp_path / "source.onnx"), tmp_path / "made.onnx"
    model = onnx.load(source)
    tensors = {t.name: ir.from_proto(t) for t in model.graph.initializer}
    size = f"{model.ByteSize():,}"
    with pytest.raises(PrepareError, match=f"takes {size} bytes .* a protobuf holds 1,000"):
        onnx_file_io.write(model, tensors, made)
    assert not made.exists()


def test_an_interrupted_copy_leaves_nothing(
    tight: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, made = tiny.product_graph(tmp_path / "source.onnx"), tmp_path / "made.onnx"

    def interrupted(model: object, name: str) -> bytes:
        assert made.with_name("made.onnx.data").stat().st_size > 8000
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_file_io, "serialised", interrupted)
    with pytest.raises(KeyboardInterrupt):
        onnx_file_io.copy(source, made)
    assert [p.name for p in tmp_path.iterdir()] == ["source.onnx"]


def test_the_sizes_are_told_before_a_disk_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 * 10**9))
    options = Options("source", tmp_path / "deep" / "out")
    disk_space.check(options, 10**9)
    with pytest.raises(UsageError, match=r"2\.20 GB in float32 need.* 1.*; 5\.00 GB are free"):
        disk_space.check(options, 2_200_000_000)
    disk_space.check(replace(options, variant="fp32"), 1_600_000_000)  # one variant needs less


def test_a_disk_that_becomes_full_is_told_with_the_sizes(tmp_path: Path) -> None:
    with (
        pytest.raises(PrepareError, match=r"the disk is full: this run had written 0\.00 GB"),
        staging(tmp_path / "out") as work,
    ):
        (work / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cpu", [ANY, *cpu_kinds.KINDS])
def test_the_estimate_counts_the_variants_of_the_table(cpu: str) -> None:
    int8 = [v for v in VARIANTS if v.precision == "int8" and cpu not in v.not_on]
    counted = disk_space.INT8_VARIANTS.get(cpu, disk_space._MOST_INT8)
    for method in ("convolution", "linear"):  # a graph is of one kind
        kinds = ("convolution",) if method == "convolution" else ("linear", "static")
        assert sum(v.method in kinds for v in int8) <= counted


def test_numbers_are_rounded_block_by_block_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounding, "_BLOCK", 10)
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((17, 6)).astype(np.float32)
    for array, axis in ((rows, 0), (rows.T, 0), (rows, 1), (rows.T, 1)):
        scale = rounding.largest(array, axis) / 64
        np.testing.assert_array_equal(scale, np.abs(array).max(axis, keepdims=True) / 64)
        want = (np.clip(np.round(array / scale), -60, 60) + 128).astype(np.uint8)
        got = rounding.rounded(array, scale, 60, np.uint8, 128)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8
