"""What `onnxferry score --engine ray` does without Ray: a worker's part, and its files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from onnxferry.scripts.package import model as model_folder
from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.scripts.score.clusters import ray_run
from onnxferry.scripts.score.clusters.chunked_output import RECORDS, Chunk, Output
from onnxferry.scripts.score.clusters.spark_shipping import HERE
from onnxferry.scripts.score.job import ScoreJob
from onnxferry.system.errors import UsageError
from tests import tiny

RUN = {"input": "1", "model": "2", "parameters": {}, "mapping": {}, "formats": []}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.text_classification(tmp_path / "model")


def test_a_worker_adds_the_answers_to_a_table(model: Path) -> None:
    packed = ray_run._packed(model_folder.check(model, HERE))
    scores = ray_run.Scores(packed, {}, ColumnMapping({"text": "body"}, "predicted_"))
    given = pa.table({"body": ["good day", None, "bad"], "label": [1, 2, 3]})

    found = scores(given)

    assert found["predicted_label"].to_pylist() == ["good", None, "bad"]
    assert found["label"].to_pylist() == [1, 2, 3]
    assert found["predicted_error"].to_pylist()[1].startswith("invalid_type: ")
    assert scores(given.slice(0, 0)).schema == found.schema


def test_what_does_not_fit_is_told_before_ray_is_started(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.parquet file"):
        ray_run.run(ScoreJob((str(tmp_path / "none"),), str(tmp_path / "out"), model))
    parquet.write_table(pa.table({"body": ["good"]}), tmp_path / "in.parquet")
    with pytest.raises(UsageError, match=r"in\.parquet: there is no column 'text'"):
        ray_run.run(ScoreJob((str(tmp_path / "in.parquet"),), str(tmp_path / "out"), model))
    with pytest.raises(UsageError, match="writes a folder of Parquet"):
        ray_run.run(ScoreJob((str(tmp_path / "in.parquet"),), str(tmp_path / "o.csv"), model))


def test_an_output_that_is_an_input_is_refused_and_nothing_removed(
    model: Path, tmp_path: Path
) -> None:
    given = tmp_path / "all" / "in.parquet"
    given.parent.mkdir()
    parquet.write_table(pa.table({"text": ["good"]}), given)
    for output in (given, given.parent, given.parent.parent, given.parent / "out"):
        job = ScoreJob((str(given.parent),), str(output), model, overwrite=True)
        with pytest.raises(UsageError, match="one inside the other"):
            ray_run.run(job)
    assert given.is_file()


def test_an_address_that_arrow_does_not_know_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="odd://here"):
        ray_run.run(ScoreJob(("odd://here",), str(tmp_path / "out"), model))


def test_an_output_may_have_a_dot_in_its_name(model: Path, tmp_path: Path) -> None:
    given = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"text": ["good"]}), given)
    checked, files = model_folder.check(model, HERE), ray_run.Files().found(str(given))
    for name in ("out.v2", "out-1.5/", "out.parquet"):
        ray_run._check_columns(ScoreJob((str(given),), str(tmp_path / name), model), checked, files)
    for name in ("out.csv", "out.jsonl.gz"):
        with pytest.raises(UsageError, match="writes a folder of Parquet"):
            job = ScoreJob((str(given),), str(tmp_path / name), model)
            ray_run._check_columns(job, checked, files)


def test_inputs_on_two_file_systems_are_refused(model: Path, tmp_path: Path) -> None:
    inputs = (str(tmp_path / "a"), str(tmp_path / "b"), "mock://c")
    with pytest.raises(UsageError, match=r"a and mock://c are on two file systems"):
        ray_run.run(ScoreJob(inputs, str(tmp_path / "out"), model))


def written(folder: Path) -> Output:
    """The output of a run that is complete."""
    output = Output(ray_run.Files(), str(folder))
    output.open(RUN)
    stage = Path(output.stage())
    stage.mkdir()
    (stage / "part.parquet").write_bytes(b"rows")
    output.keep(Chunk(("a",), str(stage), 3, {}))
    output.complete()
    return output


def test_overwrite_removes_a_runs_output_and_no_other_folder(tmp_path: Path) -> None:
    assert written(tmp_path / "out").open({**RUN, "model": "3"}, replace=True) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RECORDS]
    for name in ("notes.txt", "_SUCCESS"):
        other = tmp_path / f"with-{name}" / "below" / name
        other.parent.mkdir(parents=True)
        other.touch()
        for folder in (other.parent, other.parent.parent):
            with pytest.raises(UsageError, match=f"and no {RECORDS}, so no run wrote it"):
                Output(ray_run.Files(), str(folder)).open(RUN, replace=True)
        assert other.is_file()


class Dies(ray_run.Files):
    """A driver that is killed before it removes what has no turn any more."""

    turns = 0

    def remove(self, path: str) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise ConnectionError("killed")
        super().remove(path)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_what_a_killed_overwrite_leaves_is_no_run(turns: int, tmp_path: Path) -> None:
    written(tmp_path / "out")
    mortal = Dies()
    mortal.turns = turns
    with pytest.raises(ConnectionError):
        Output(mortal, str(tmp_path / "out")).open({**RUN, "model": "3"}, replace=True)
    again = Output(ray_run.Files(), str(tmp_path / "out"))
    if turns < 3:
        with pytest.raises(UsageError, match="is not empty"):
            again.open(RUN)
    assert again.open(RUN, replace=turns < 3) == 0
    assert again.chunks() == []


def test_its_files_hold_an_output_with_records(tmp_path: Path) -> None:
    output = Output(ray_run.Files(), str(tmp_path / "out"))
    assert output.open(RUN) == 0
    stage = Path(output.stage())
    stage.mkdir()
    (stage / "part.parquet").write_bytes(b"rows")
    (stage.parent / "staged-of-a-run-that-died").mkdir()
    output.keep(Chunk(("a",), str(stage), 3, {}))
    assert [path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")] == [b"rows"]
    assert output.open(RUN) == 3
    output.complete()
    assert ray_run.Files().names(str(tmp_path / "out")) == [
        "_SUCCESS",
        RECORDS,
        "chunk-0000001-part.parquet",
    ]
    assert ray_run.Files().names(str(tmp_path / "out" / RECORDS)) == [
        "chunk-0000001.json",
        "run.json",
    ]
    with pytest.raises(UsageError, match="another model"):
        output.open({**RUN, "model": "3"})
    with pytest.raises(UsageError, match="another version of onnxferry"):
        output.open({**RUN, "onnxferry": "9"})
    assert [file.path for file in ray_run.Files().found(str(tmp_path))] == [
        str(tmp_path / "out" / "chunk-0000001-part.parquet")
    ]
