"""What prepare exported and verified is kept: the same model directory comes of it, sooner."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry.scripts.prepare import disk_space, model_directory
from onnxferry.scripts.prepare.cache import cache_key, export_cache, stored_outputs
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.sources import known_outputs
from onnxferry.scripts.prepare.sources.huggingface import torch_export
from onnxferry.scripts.prepare.sources.known_outputs import KnownOutputs, RunOutputs
from onnxferry.system.errors import UsageError
from tests.scripts import checkpoints
from tests.scripts.checkpoints import as_exported

pytestmark = pytest.mark.toolchain


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Path]]:
    """The entries of a cache that is on; the newest last."""
    monkeypatch.setenv("ONNXFERRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(export_cache.LIMIT, "1")
    folder = tmp_path / "cache" / "prepare"
    return lambda: sorted(folder.glob("[!.]*"), key=lambda path: path.stat().st_mtime)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each export, and each run of a model that is not known."""
    done: list[str] = []
    export, timed = torch_export.export, KnownOutputs._timed

    def exported(*given: Any) -> None:
        done.append("export")
        export(*given)

    def ran(self: KnownOutputs, *given: Any) -> RunOutputs:
        done.append("run")
        return timed(self, *given)

    monkeypatch.setattr(torch_export, "export", exported)
    monkeypatch.setattr(KnownOutputs, "_timed", ran)
    return done


def made(options: Options) -> dict[str, Any]:
    """The files of the model directory; of the description what is not timed."""
    prepare(options)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in options.out.glob("[mt]o*")}
    spec = json.loads(files.pop("model_spec.json"))
    spec["provenance"].pop("variants")
    return {**files, "spec": json.dumps(spec)}


def entry(root: Path, name: str, size: int) -> export_cache.ExportCache:
    """A cache that has verified a graph of so many bytes."""
    exported = root / f"exported-{name}"
    exported.mkdir()
    (exported / "model.onnx").write_bytes(bytes(size))
    return export_cache.ExportCache(root / "prepare" / name)


def test_a_second_run_takes_what_the_first_one_verified_and_makes_the_same(
    tmp_path: Path,
    entries: Callable[[], list[Path]],
    work: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = checkpoints.bert(tmp_path / "bert", "text-classification")
    options = as_exported(str(source), tmp_path / "out", name="same")
    first = made(options)
    (entry,) = entries()
    assert {*work} == {"export", "run"}
    assert not (entry / "model.onnx").samefile(tmp_path / "out" / "model.onnx")
    assert json.loads((entry / "answers.json").read_text())
    work.clear()
    capsys.readouterr()

    second = made(replace(options, tolerance=2e-3, out=tmp_path / "other"))

    assert work == []
    assert f"from the cache: {entry}" in capsys.readouterr().err.replace("\n", "")
    specs = [json.loads(files.pop("spec")) for files in (first, second)]
    assert first == second
    assert [spec["provenance"]["difference"].pop("tolerance") for spec in specs] == [1e-3, 2e-3]
    assert specs[1]["provenance"]["asked"]["flags"].pop("tolerance") == 2e-3
    assert specs[0] == specs[1]


def model(name: str, done: list[str]) -> KnownOutputs:
    def run(feeds: Any, _: Any) -> list[Any]:
        done.append(name)
        return [feeds["x"] * 2]

    return KnownOutputs(run)


def asked_once(cache: export_cache.ExportCache, *numbers: int) -> list[str]:
    """What runs when both models of `cache` are asked these, which are then kept."""
    done: list[str] = []
    source, graph = model("source", done), model("graph", done)
    cache.restore(source, graph)
    for number in numbers:
        for run in (source, graph):
            assert run({"x": np.arange(number)}, ["y"])[0].tolist() == [*range(0, 2 * number, 2)]
        cache.answers.setdefault(f"{number}?", [{"score": number / 3}])
    return done


def test_what_is_asked_more_joins_the_entry(tmp_path: Path, entries: object) -> None:
    options, exported = Options("", tmp_path / "out"), tmp_path / "exported-a"
    cache = entry(tmp_path, "a", 100)
    assert asked_once(cache, 3, 4) == ["source", "graph"] * 2
    cache.keep(exported, options)
    for numbers, ran in ((3, 5), 2), ((4, 5), 0):
        (target := tmp_path / f"target-{ran}").mkdir()
        again = export_cache.ExportCache(tmp_path / "prepare" / "a")
        assert again.take(target)
        assert len(asked_once(again, *numbers)) == ran
        assert again.answers["4?"] == [{"score": 4 / 3}]
        again.keep(exported, options)


def test_weights_have_no_hard_links(tmp_path: Path, entries: object) -> None:
    """Which onnx.load refuses, of a model directory too."""
    cache, target = entry(tmp_path, "a", 100), tmp_path / "target"
    asked_once(cache, 3)
    cache.keep(tmp_path / "exported-a", Options("", tmp_path / "out"))
    target.mkdir()
    assert export_cache.ExportCache(tmp_path / "prepare" / "a").take(target)
    graphs = [*tmp_path.rglob("model.onnx")]
    assert len(graphs) == 3
    assert {path.stat().st_nlink for path in graphs} == {1}


@pytest.mark.parametrize("name", ["model.onnx", "outputs.npz", "answers.json", "digests.json"])
def test_a_damaged_entry_is_told_and_made_anew(
    name: str, tmp_path: Path, entries: object, capsys: pytest.CaptureFixture[str]
) -> None:
    options, exported = Options("", tmp_path / "out"), tmp_path / "exported-a"
    cache = entry(tmp_path, "a", 100)
    asked_once(cache, 3)
    cache.keep(exported, options)
    path, target = tmp_path / "prepare" / "a" / name, tmp_path / "target"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    target.mkdir()
    capsys.readouterr()

    again = export_cache.ExportCache(path.parent)
    assert not again.take(target)
    assert "the entry is damaged" in capsys.readouterr().err
    assert [*target.iterdir()] == []

    asked_once(again, 3)
    again.keep(exported, options)
    assert export_cache.ExportCache(path.parent).take(target)


def test_the_key_follows_sources_flags_tools_and_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    (source / "model.safetensors").write_bytes(b"1")
    (tmp_path / "code").mkdir()
    monkeypatch.setattr(cache_key, "_CODE", (tmp_path / "code",))
    options = Options(str(source), tmp_path / "out")
    asked: dict[str, Any] = {"source": {"commit": "c"}, "flags": {}}
    keys = [cache_key.of(options, asked)]
    assert cache_key.of(replace(options, precision="int8"), asked) == keys[0]

    keys.append(cache_key.of(options, {**asked, "flags": {"opset": 18}}))
    (source / "model.safetensors").write_bytes(b"2")
    keys.append(cache_key.of(options, asked))
    (tmp_path / "code" / "a.py").write_text("1")
    keys.append(cache_key.of(options, asked))
    monkeypatch.setattr(model_directory, "tool_versions", lambda _: {"torch": "0"})
    keys.append(cache_key.of(options, asked))
    assert None not in keys
    assert len(set(keys)) == 5

    (source / "1_Pooling").symlink_to(tmp_path / "code")
    assert cache_key.of(options, asked) is None


def test_the_least_recently_used_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(export_cache.LIMIT, "0.00003")
    options = Options("", tmp_path / "out")
    for age, name in enumerate("abc"):
        entry(tmp_path, name, 9_000).keep(tmp_path / f"exported-{name}", options)
        os.utime(tmp_path / "prepare" / name / "digests.json", (age, age))
    (tmp_path / "target").mkdir()
    assert export_cache.ExportCache(tmp_path / "prepare" / "a").take(tmp_path / "target")

    entry(tmp_path, "d", 9_000).keep(tmp_path / "exported-d", options)
    assert sorted(path.name for path in (tmp_path / "prepare").glob("[!.]*")) == ["a", "c", "d"]

    entry(tmp_path, "e", 40_000).keep(tmp_path / "exported-e", options)
    assert not (tmp_path / "prepare" / "e").exists()


def test_nothing_is_kept_on_a_short_disk_and_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(export_cache.LIMIT, "1")
    monkeypatch.setattr(disk_space, "free", lambda _: 1_000_000)
    entry(tmp_path, "a", 9_000).keep(tmp_path / "exported-a", Options("", tmp_path / "out"))
    assert [path.name for path in (tmp_path / "prepare").iterdir()] == [".lock"]
    assert "the disk is short of room" in capsys.readouterr().err

    (tmp_path / "file").write_text("")
    cache = export_cache.ExportCache(tmp_path / "file" / "prepare" / "b")
    cache.keep(tmp_path / "exported-a", Options("", tmp_path / "out"))
    assert "is not kept" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["much", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(export_cache.LIMIT, text)
    with pytest.raises(UsageError, match="expected gigabytes, such as 10, or 0 for none"):
        export_cache.limit()


def test_modules_and_onnx_files_are_not_kept_nor_what_is_not_to_be(
    tmp_path: Path, entries: Callable[[], list[Path]]
) -> None:
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"")
    for source in ("my.module:build", str(graph), str(tmp_path)):
        options = Options(source, tmp_path / "out", no_cache=source == str(tmp_path))
        cache = export_cache.cache_of(options, {})
        cache.keep(tmp_path, options)
    assert entries() == []


def test_outputs_are_the_same_bits_and_texts_are_left_out(tmp_path: Path) -> None:
    numbers = np.array([[np.nan, -0.0], [1 / 3, np.inf]], np.float32)
    run = RunOutputs([numbers, np.array(3, np.int64)], 0.25)
    words = RunOutputs([np.array(["a"], object)], 0.5)
    stored_outputs.write(tmp_path / "o.npz", {"graph": {"a": run, "b": words}, "source": {}})
    found = stored_outputs.read(tmp_path / "o.npz")["graph"]
    assert set(found) == {"a"}
    assert [a.tobytes() for a in found["a"].arrays] == [a.tobytes() for a in run.arrays]
    assert [a.dtype for a in found["a"].arrays] == [np.float32, np.int64]
    assert found["a"].seconds == 0.25


def test_what_was_known_counts_the_seconds_that_it_took_and_stays_within_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(feeds: Any, _: Any) -> list[Any]:
        return [feeds["x"] * 2]

    model, later = KnownOutputs(run), KnownOutputs(lambda *_: pytest.fail("it is known"))
    feeds = {"x": np.arange(4)}
    expected = model(feeds, ["y"])
    later.restore({key: replace(found, seconds=5.0) for key, found in model.kept().items()})
    assert later.knows(feeds, ["y"])
    assert later.seconds == 0
    assert later(feeds, ["y"])[0].tolist() == expected[0].tolist()
    later(feeds, ["y"])
    assert later.seconds == 5

    monkeypatch.setattr(known_outputs, "CACHED", 8)
    assert later.kept() == {}
