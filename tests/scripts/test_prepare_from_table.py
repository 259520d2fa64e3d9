"""deploy.toml's [model] source: when it is prepared, and when what is there is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxferry import cli
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.model_table import ModelTable, read
from onnxferry.scripts.prepare import Options, from_table
from onnxferry.scripts.prepare.asked import asked
from onnxferry.scripts.prepare.from_table import default_folder, options_of
from onnxferry.scripts.prepare.options import check
from onnxferry.scripts.prepare.sources.hub import download
from onnxferry.system.errors import PrepareError, UsageError
from tests.fakes.hub import HubDouble, content
from tests.scripts import checkpoints

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.bert(tmp_path_factory.mktemp("trained") / "bert", "text-classification")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    monkeypatch.chdir(tmp_path)
    with HubDouble() as double:
        double.connect(monkeypatch, tmp_path / "home")
        yield double


def said(table: ModelTable, capsys: pytest.CaptureFixture[str]) -> str:
    """What is told while the table's model is prepared, or is found to be so."""
    assert table.prepared() == table.folder()
    return capsys.readouterr().err


def test_a_model_is_prepared_once_and_again_when_something_changed(
    hub: HubDouble,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = hub.push("org/moods", content(trained))
    table = ModelTable(source="org/moods", variant="fp32")
    folder = Path("build/models/moods")

    assert f"{folder}: is not there, or was prepared otherwise" in said(table, capsys)
    made = (folder / "model_spec.json").read_bytes()
    assert ModelSpec.read(folder).provenance["asked"] == {
        "source": {"id": "org/moods", "revision": "main", "commit": first},
        "flags": {"variant": "fp32"},
    }

    hub.calls.clear()
    unchanged = f"{folder}: is as prepared from org/moods, commit {first[:12]}"
    assert unchanged in said(table, capsys)
    assert hub.sent() == hub.sent("HEAD") == []

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert f"Commit {first} is kept" in said(table, capsys)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert (folder / "model_spec.json").read_bytes() == made

    second = hub.push("org/moods", {**content(trained), "config.json": _renamed(trained)})
    assert f"its source was commit {first}, and is {second}" in said(table, capsys)
    assert ModelSpec.read(folder).labels == ("quiet", "glad", "angry")


def _renamed(folder: Path) -> bytes:
    return (folder / "config.json").read_bytes().replace(b'"calm"', b'"quiet"')


def test_what_fails_halfway_leaves_what_was_there(
    hub: HubDouble, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push("org/moods", content(trained))
    folder = Path("build/models/moods")
    folder.mkdir(parents=True)
    (folder / "model_spec.json").write_text("{}")
    monkeypatch.setattr(download.Blobs, "_check", _fail)
    with pytest.raises(KeyboardInterrupt):
        ModelTable(source="org/moods").prepared()
    assert [path.name for path in folder.parent.iterdir()] == ["moods"]
    assert (folder / "model_spec.json").read_text() == "{}"


def _fail(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.tsv"
    path.write_text("text\tlabel\n")
    return path


def test_what_was_asked_is_the_content_of_files_and_no_path(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    given = Options(str(trained), tmp_path / "out", data=data, limit=7)
    first = asked(given, {})
    assert str(tmp_path) not in json.dumps(first)
    assert set(first["flags"]) == {"data", "limit"}

    moved = data.rename(tmp_path / "moved.tsv")
    assert asked(Options(str(trained), tmp_path, data=moved, limit=7), {}) == first
    moved.write_text("text\tlabel\nmore\tglad\n")
    assert asked(Options(str(trained), tmp_path, data=moved, limit=7), {}) != first


def test_an_edited_folder_and_other_weights_beside_a_graph_are_changes(tmp_path: Path) -> None:
    for names in (("model", "model/config.json"), ("g.onnx", "g.onnx", "g.onnx.data")):
        source, *files = (tmp_path / name for name in names)
        seen = []
        for path in files:
            path.parent.mkdir(exist_ok=True)
            path.write_text("1")
        for path in files:
            for text in ("1", "2"):
                path.write_text(text)
                seen.append(asked(Options(str(source), tmp_path / "out"), {})["source"]["sha256"])
        assert len(set(seen)) == len(files) + 1


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("org/Mood-v1.2@main", "build/models/Mood-v1.2"),
        ("hf://gpt2", "build/models/gpt2"),
        ("graph.onnx", "build/models/graph"),
        ("models/bert/", "build/models/bert"),
    ],
)
def test_where_a_source_is_prepared(
    source: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/bert").mkdir(parents=True)
    (tmp_path / "graph.onnx").touch()
    assert default_folder(source) == Path(folder)


def test_a_folder_of_a_module_has_a_name_that_a_model_may_have() -> None:
    check(Options("shop.model:build", default_folder("shop.model:build"), "image-classification"))


def test_without_out_a_dry_run_tells_where_the_model_would_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints.bert(tmp_path / "mine", "text-classification")
    done = CliRunner().invoke(cli.cli, ["prepare", "mine", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert f"out        {Path('build/models/mine')}, new" in done.output
    assert not (tmp_path / "build").exists()
    wrong = CliRunner().invoke(cli.cli, ["prepare", "mien"])
    assert "SOURCE mien: no such folder" in wrong.output


def test_every_flag_of_the_table_is_one_of_prepare(tmp_path: Path) -> None:
    text = {"source": "org/moods", "max_metric_drop": "2%", "limit": 5, "settings": "s.json"}
    options = options_of(ModelTable(**text))
    assert (options.max_metric_drop, options.limit) == (0.02, 5)
    assert options.settings == Path("s.json")
    names = set(ModelTable.model_fields) - {"path", "name", "python", "source"}
    assert names <= set(Options.__dataclass_fields__)


def test_a_module_is_not_prepared_by_itself() -> None:
    with pytest.raises(UsageError, match="whether a module has changed cannot be told; prepare it"):
        ModelTable(source="own.module:factory").prepared()


def test_a_commit_stays_what_it_is(hub: HubDouble, trained: Path, tmp_path: Path) -> None:
    """Without a question to the hub, which knows of newer ones."""
    commit = hub.push("org/moods", content(trained))
    before = {"id": "org/moods", "revision": commit, "commit": commit}
    options = Options(f"org/moods@{commit}", tmp_path / "out")
    assert from_table._origin(options, before) == before
    assert hub.calls == []


def test_another_revision_is_not_taken_for_the_one_there(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = {"id": "org/moods", "revision": "main", "commit": "1" * 40}
    assert from_table._origin(Options("org/moods", tmp_path), before) == before
    assert from_table._origin(Options("org/moods@v2", tmp_path), before)["commit"] == ""


def test_an_unknown_model_leaves_nothing(hub: HubDouble) -> None:
    with pytest.raises(PrepareError, match="org/absent: no such model at"):
        ModelTable(source="org/absent").prepared()
    assert not Path("build").exists()


def test_mistakes_in_the_table_are_named(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    file.write_text('\ufeff[model]\nsauce = "org/moods"\nlimit = 0\n', encoding="utf-8")
    with pytest.raises(UsageError) as e:
        read(file, {"ONNXFERRY_MODEL_MIN_AGREEMENT": "2"})
    for part in ("model.sauce", "model.limit", "model.min_agreement", "known keys: path, name"):
        assert part in str(e.value)


@pytest.mark.parametrize("command", ["package", "rehearse"])
def test_other_commands_read_the_table_too(hub: HubDouble, command: str) -> None:
    Path("deploy.toml").write_text('[model]\nsource = "org/absent"\n')
    result = CliRunner().invoke(cli.cli, [command, "--target", "local"])
    assert result.exit_code == 1
    assert "org/absent: no such model at" in result.output
