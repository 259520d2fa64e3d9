"""Models of the hub, served by a double of it: what is asked for, kept, taken up, refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, errors

from onnxferry.scripts.prepare import Options, hub_id
from onnxferry.scripts.prepare.sources.hub import client, download
from onnxferry.scripts.prepare.sources.hub.snapshots import Snapshot, describe, fetch
from onnxferry.system.errors import FerryError, PrepareError, UsageError
from tests.eventually import eventually
from tests.fakes.hub import Hold, HubDouble, Model

pytestmark = pytest.mark.toolchain  # of both versions of the hub's client
SECRET = "hf_thisIsTheTokenOfSomeone"  # noqa: S105
WEIGHTS = bytes(range(256)) * 2000
FILES = {
    "README.md": b"# a model",
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b'{"model_max_length": 8}',
    "vocab.txt": b"a\nb",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": WEIGHTS[::-1],
    "tf_model.h5": WEIGHTS,
    "flax_model.msgpack": WEIGHTS,
    "rust_model.ot": WEIGHTS,
    "onnx/model.onnx": WEIGHTS,
    "training_args.bin": b"pickle",
    "modeling_own.py": b"raise SystemExit",
    "trainer_state.json": b"{}",
}
NEEDED = {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubDouble]:
    with HubDouble() as double:
        double.connect(monkeypatch, tmp_path / "home")
        yield double


def get(source: str, file: str | None = None) -> Snapshot:
    return fetch(hub_id.named(source), file)


def names(found: Snapshot) -> set[str]:
    paths = (path for path in found.folder.rglob("*") if path.is_file())
    return {path.relative_to(found.folder).as_posix() for path in paths}


@pytest.mark.parametrize(
    ("source", "name", "revision"),
    [
        ("org/name", "org/name", "main"),
        ("org/na-me.v1_2@v1.0", "org/na-me.v1_2", "v1.0"),
        ("org/name@refs/pr/7", "org/name", "refs/pr/7"),
        ("hf://gpt2", "gpt2", "main"),
        ("https://huggingface.co/org/name/tree/dev", "org/name", "dev"),
        ("https://huggingface.co/org/name/", "org/name", "main"),
    ],
)
def test_the_forms_of_a_models_name(source: str, name: str, revision: str) -> None:
    assert hub_id.parse(source) == hub_id.HubId(name, revision)


@pytest.mark.parametrize(
    "source",
    ["name", "./org/name", "/org/name", "~/name", "org/name/more", "models/absent.onnx", "a/b.py"],
)
def test_what_reads_as_a_path_is_not_asked_of_the_hub(source: str) -> None:
    assert hub_id.parse(source) is None


def test_a_folder_of_that_name_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Options("org/name", Path("out")).kind == "hub"
    (tmp_path / "org").mkdir()
    told = r"SOURCE org/name: no such folder .* To ask the hub for this name: hf://org/name"
    with pytest.raises(UsageError, match=told):
        _ = Options("org/name", Path("out")).kind  # a path that is mistyped
    (tmp_path / "org/name").mkdir()
    assert Options("org/name", Path("out")).kind == "huggingface"
    assert Options("hf://org/name", Path("out")).kind == "hub"


def test_only_the_files_that_are_needed_come(hub: HubDouble) -> None:
    commit = hub.push("org/tiny", FILES)
    found = get("org/tiny")
    assert names(found) == NEEDED | {"model.safetensors"} == set(hub.sent())
    assert (found.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert found.record == {
        "id": "org/tiny",
        "name": "org/tiny",
        "revision": "main",
        "commit": commit,
    }


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        (("pytorch_model.bin", "tf_model.h5"), {"pytorch_model.bin"}),
        (
            ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
            {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
        ),
        (("model.safetensors", "model.fp16.safetensors"), {"model.safetensors"}),
        (("onnx/model.onnx", "onnx/model.onnx_data"), {"onnx/model.onnx", "onnx/model.onnx_data"}),
    ],
)
def test_which_weights_are_taken(hub: HubDouble, weights: tuple[str, ...], taken: set[str]) -> None:
    hub.push("org/tiny", {"config.json": b"{}", **dict.fromkeys(weights, b"w")})
    assert names(get("org/tiny")) == {"config.json", *taken}


def test_the_parts_of_a_sentence_transformers_model_come(hub: HubDouble) -> None:
    modules = b'[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}, {"path": "3_Normalize"}]'
    parts = {
        "modules.json": modules,
        "config.json": b"{}",
        "sentence_bert_config.json": b"{}",
        "config_sentence_transformers.json": b"{}",
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"dense",
        "model.safetensors": b"w",
    }
    unneeded = {"2_Dense/pytorch_model.bin": b"d", "eval/result.json": b"{}"}
    hub.push("org/embedder", {**parts, **unneeded})
    assert names(get("org/embedder")) == set(parts)


@pytest.mark.parametrize(
    ("folder", "lost"),
    [("", "model-00002-of-00002.safetensors"), ("0_Transformer/", "model.safetensors")],
)
def test_what_is_whole_is_told_by_the_index_or_the_layout(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, folder: str, lost: str
) -> None:
    shards = {f"model-0000{i}-of-00002.safetensors": b"%d" % i for i in (1, 2)}
    weights = shards if lost in shards else {lost: b"w"}
    index = {"model.safetensors.index.json": json.dumps({"weight_map": {n: n for n in shards}})}
    files = {"config.json": b"{}", **weights}
    files |= {name: text.encode() for name, text in index.items()} if lost in shards else {}
    modules = {"modules.json": json.dumps([{"path": folder.rstrip("/")}]).encode()}
    hub.push("org/tiny", {**modules, **{f"{folder}{name}": data for name, data in files.items()}})
    found = get("org/tiny")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get("org/tiny") == found
    (found.folder / folder / lost).unlink()
    with pytest.raises(PrepareError, match="HF_HUB_OFFLINE is set"):
        get("org/tiny")


def test_a_second_run_downloads_nothing(hub: HubDouble) -> None:
    hub.push("org/tiny", FILES)
    first = get("org/tiny")
    hub.calls.clear()
    assert get("org/tiny") == first
    assert hub.sent() == hub.sent("HEAD") == []
    assert [call.path for call in hub.calls] == ["/api/models/org/tiny/revision/main"]


def test_a_commit_is_not_even_asked_for_again(hub: HubDouble) -> None:
    commit = hub.push("org/tiny", FILES)
    first = get(f"org/tiny@{commit}")
    hub.push("org/tiny", {**FILES, "model.safetensors": b"newer"})
    hub.calls.clear()
    assert get(f"org/tiny@{commit}") == first
    assert (first.commit, hub.calls) == (commit, [])


def test_a_branch_that_moved_is_noticed(hub: HubDouble, capsys: pytest.CaptureFixture[str]) -> None:
    old = hub.push("org/tiny", FILES)
    get("org/tiny")
    new = hub.push("org/tiny", {**FILES, "model.safetensors": b"newer"})
    hub.calls.clear()
    found = get("org/tiny")
    assert (found.commit, (found.folder / "model.safetensors").read_bytes()) == (new, b"newer")
    assert hub.sent() == ["model.safetensors"]  # the others are as they were
    assert f"org/tiny: main has moved from {old} to {new}" in capsys.readouterr().err


def test_a_look_at_a_newer_commit_leaves_the_older_one_for_use_offline(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.push("org/tiny", FILES)
    first = get("org/tiny")
    new = hub.push("org/tiny", {**FILES, "config.json": b"[]", "model.safetensors": b"newer"})
    found = describe(hub_id.named("org/tiny"), None)
    assert (found.folder.name, found.download) == (new, 5)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert get("org/tiny") == first
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert get("org/tiny").commit == new
    assert f"main has moved from {first.commit} to {new}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_takes_what_was_fetched(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    hub.push("org/tiny", FILES)
    first = get("org/tiny")
    hub.calls.clear()
    capsys.readouterr()
    monkeypatch.setenv(name, "1")
    assert describe(hub_id.named("org/tiny"), None).folder == first.folder
    assert get("org/tiny") == first
    taken = f"Taken from the cache: commit {first.commit}"
    assert capsys.readouterr().err == f"org/tiny: HF_HUB_OFFLINE is set. {taken}\n"
    lacks = r"org/other: HF_HUB_OFFLINE is set, so .* not asked, and .* does not hold .*: unset it"
    with pytest.raises(PrepareError, match=lacks):
        get("org/other")
    assert hub.calls == []


def test_without_a_network_what_was_fetched_is_taken_and_said(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.push("org/tiny", FILES)
    first = get("org/tiny")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert get("org/tiny") == first
    assert f"Taken from the cache: commit {first.commit}" in capsys.readouterr().err
    assert describe(hub_id.named("org/tiny"), None).folder == first.folder
    assert "org/tiny: looked at in the cache" in capsys.readouterr().err
    with pytest.raises(PrepareError, match=r"org/other: http://127.0.0.1:9 cannot be reached \("):
        get("org/other")


def test_part_of_a_model_in_the_cache_is_not_taken_for_all(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push("org/tiny", FILES)
    found = get("org/tiny")
    (found.folder / "model.safetensors").unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PrepareError, match="HF_HUB_OFFLINE is set"):
        get("org/tiny")


def test_an_older_name_of_a_model_leads_to_it(hub: HubDouble) -> None:
    hub.push("new-org/tiny", FILES)
    hub.moved["tiny"] = "new-org/tiny"
    assert (get("hf://tiny").folder / "model.safetensors").read_bytes() == WEIGHTS


def gate(hub: HubDouble, monkeypatch: pytest.MonkeyPatch, token: str, *, private: bool) -> None:
    hub.push("org/tiny", FILES)
    hub.models["org/tiny"].allowed = frozenset({SECRET})
    hub.models["org/tiny"].private = private
    hub.tokens = {SECRET, "hf_another"}
    if token:
        monkeypatch.setenv("HF_TOKEN", token)


@pytest.mark.parametrize("private", [True, False])
def test_a_token_opens_what_it_may_read_and_goes_to_the_hub_alone(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, private: bool
) -> None:
    gate(hub, monkeypatch, SECRET, private=private)
    assert names(get("org/tiny")) == NEEDED | {"model.safetensors"}
    sent = {(call.host, call.headers.get("authorization")) for call in hub.calls}
    assert ("cdn", None) in sent
    assert {who for who, token in sent if token} == {"hub"}


@pytest.mark.parametrize(
    ("token", "private", "message"),
    [
        ("", False, "org/tiny is gated: accept its terms at .*/org/tiny, and send .* HF_TOKEN"),
        ("hf_another", False, "org/tiny is gated: .*the token that was sent, which has no access"),
        ("", True, "org/tiny: no such model at .*; if it is private, send a token: .* HF_TOKEN"),
        ("hf_another", True, "org/tiny: no such model at .*the token that was sent may not see it"),
        ("hf_wrong", False, "org/tiny: .* does not know the token that was sent"),
    ],
)
def test_refusals_say_what_to_do_and_hold_no_token(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, token: str, private: bool, message: str
) -> None:
    gate(hub, monkeypatch, token, private=private)
    with pytest.raises(PrepareError, match=message) as e:
        get("org/tiny")
    assert not token or token not in str(e.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("org/absent", "org/absent: no such model at http.*, and no such folder here"),
        ("org/tiny@v9", "org/tiny: has no revision v9; give a branch, a tag or a whole commit"),
        ("org/tiny@" + "0" * 40, "org/tiny: has no revision 00000"),
        ("org/flax", "org/flax: holds no weights that can be read .* but flax_model.msgpack"),
        ("org/shards", "org/shards: holds no weights"),
        ("org/adapter", "org/adapter: is an adapter, not a whole model; give its base model as"),
        ("org/na--me", "org/na--me: not the form of a model's id"),
    ],
)
def test_what_is_not_there_is_named(hub: HubDouble, source: str, message: str) -> None:
    hub.push("org/tiny", FILES)
    hub.push("org/flax", {"config.json": b"{}", "flax_model.msgpack": WEIGHTS})
    hub.push("org/adapter", {"adapter_config.json": b"{}", "adapter_model.safetensors": b"w"})
    hub.push("org/shards", {"config.json": b"{}"})
    with pytest.raises(FerryError, match=message):
        get(source)


@pytest.mark.parametrize(("status", "said"), [(503, "answers HTTP 503"), (429, "answers HTTP 429")])
def test_a_hub_that_does_not_work_is_named(hub: HubDouble, status: int, said: str) -> None:
    hub.status = status
    with pytest.raises(PrepareError, match=f"org/tiny: http.* {said}"):
        get("org/tiny")


def test_several_onnx_files_are_listed_with_their_sizes(hub: HubDouble) -> None:
    graphs = {"onnx/model.onnx": WEIGHTS, "onnx/model_int8.onnx": WEIGHTS[:9000]}
    hub.push("org/graphs", {"config.json": b"{}", **graphs})
    with pytest.raises(
        UsageError, match=r"--file:\n  onnx/model.onnx  512.0 kB\n  onnx/model_int8"
    ):
        get("org/graphs")
    found = get("org/graphs", "onnx/model_int8.onnx")
    assert names(found) == {"config.json", "onnx/model_int8.onnx"}
    assert get("org/graphs", "model_int8.onnx").graph == "onnx/model_int8.onnx"
    with pytest.raises(UsageError, match=r"--file absent.onnx: no such .onnx file in org/graphs;"):
        get("org/graphs", "absent.onnx")


def test_a_download_that_was_killed_is_taken_up(hub: HubDouble, tmp_path: Path) -> None:
    hub.push("org/tiny", FILES)
    hold = hub.holds["model.safetensors"] = Hold(after=200_000)
    code = (
        "from onnxferry.scripts.prepare import hub_id\n"
        "from onnxferry.scripts.prepare.sources.hub import client, snapshots\n"
        "client.constants.DOWNLOAD_CHUNK_SIZE = 1 << 14\n"
        "snapshots.fetch(hub_id.named('org/tiny'), None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
    assert hold.reached.wait(60)
    part = next((tmp_path / "home").rglob(f"*{download._PART}"))
    assert eventually(lambda: part.stat().st_size > 0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begun = part.stat().st_size
    hold.release.set()
    assert 0 < begun < len(WEIGHTS)
    hub.calls.clear()

    found = get("org/tiny")

    assert (found.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.sent() == ["model.safetensors"]  # smaller ones came before, and are kept
    assert hub.ranges() == [f"bytes={begun}-"]


def test_the_client_s_own_bars_stay_off() -> None:
    """Also those of transformers, which asks the client about them, and which comes after it."""
    code = (
        "from onnxferry.scripts.prepare.sources.hub import client\n"
        "from huggingface_hub.utils import are_progress_bars_disabled\n"
        "assert are_progress_bars_disabled()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_connection_that_breaks_is_taken_up_by_itself(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
    hub.push("org/tiny", FILES)
    hub.holds["model.safetensors"] = Hold(after=200_000, drop=True)
    found = get("org/tiny")
    assert (found.folder / "model.safetensors").read_bytes() == WEIGHTS
    first, second = hub.ranges()
    assert first == ""
    assert re.fullmatch(r"bytes=[1-9]\d+-", second)


def test_a_beginning_of_something_else_is_found_and_thrown_away(
    hub: HubDouble, tmp_path: Path
) -> None:
    hub.push("org/tiny", FILES)
    asked = hub_id.named("org/tiny")
    with client.quiet_client():
        file = client.model(asked).files["model.safetensors"]
    part = download.Blobs(asked)._part(file)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    with pytest.raises(PrepareError, match=r"model.safetensors: what came is not .*run it again"):
        get("org/tiny")
    assert (get("org/tiny").folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_full_disk_is_told_before_the_download(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push("org/tiny", FILES)
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(PrepareError, match=r"512\.0 kB are to be downloaded, and 1\.0 kB are free"):
        get("org/tiny")
    assert hub.sent() == []


def test_the_double_is_as_strict_as_the_hub(hub: HubDouble) -> None:
    hub.push("org/tiny", FILES)
    hub.models["org/closed"] = Model(allowed=frozenset(), private=True)
    with client.quiet_client():
        api = HfApi(endpoint=hub.url)
        paths = {file.path for file in api.list_repo_tree("org/tiny")}
        assert paths == set(FILES)
        with pytest.raises(errors.RepositoryNotFoundError):
            api.model_info("org/closed")
