"""The package of target `mlflow` is what MLflow itself would write of the same parts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas
import pytest
import yaml  # type: ignore[import-untyped]
from mlflow.models import Model, ModelSignature

from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.rows import SCALARS, columns
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.package.mlflow import signature
from tests import tiny
from tests.packages import quiet
from tests.scoring.test_custom_task import own
from tests.scoring.test_rows import CASES
from tests.targets.served import HERE, prepared_tensors

ANSWER = {"answer": "dolly parton", "score": 0.21751214, "start": 0, "end": 12}
ASKED = {"question": "who sings", "context": "dolly parton sings"}
TOP = tiny.golden(
    {"inputs": ASKED, "parameters": {"top_k": 2}},
    [ANSWER, {"answer": "parton", "score": 0.21751214, "start": 6, "end": 12}],
)
# of what mlflow writes: what differs each time, tells of the machine that saved, or is not needed
OWN = {
    "model_uuid",
    "mlflow_version",
    "utc_time_created",
    "model_size_bytes",
    "model_id",
    "prompts",
}
OWN_FLAVOR = {"model_code_path", "python_version", "cloudpickle_version"}


def with_golden(folder: Path, golden: Golden | None) -> Path:
    return tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=golden))


def built(model: Path, out: Path) -> Package:
    return package(model, "mlflow", out=out, python=HERE, report=quiet)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package whose golden request has a parameter."""
    folder = tmp_path_factory.mktemp("made")
    return built(with_golden(tiny.question_answering(folder / "model"), TOP), folder).path


@pytest.fixture(scope="module")
def saved(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What MLflow makes of the parts of that package."""
    known = Model.load(str(made))
    example = known.load_input_example(str(made)), known.load_input_example_params(str(made))
    folder = tmp_path_factory.mktemp("saved") / "model"
    mlflow.pyfunc.save_model(
        folder,
        python_model=made / "model.py",
        artifacts={"model": str(made / "artifacts" / "model")},
        code_paths=[str(made / "code" / "onnxferry")],
        conda_env=str(made / "conda.yaml"),
        signature=known.signature,
        input_example=example,
        metadata=known.metadata,
    )
    return folder


def files(folder: Path) -> set[str]:
    found = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    return {p.as_posix() for p in found if "__pycache__" not in p.parts}


def mlmodel(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = data["flavors"]["python_function"]
    flavor["artifacts"]["model"].pop("uri")  # where it was when it was saved
    data["flavors"] = {name: said for name, said in flavor.items() if name not in OWN_FLAVOR}
    data["signature"] = {name: json.loads(said) for name, said in data["signature"].items()}
    return {name: said for name, said in data.items() if name not in OWN}


def test_mlflow_writes_the_same_files(made: Path, saved: Path) -> None:
    assert files(made) == files(saved)


def test_mlflow_says_the_same_of_the_model(made: Path, saved: Path) -> None:
    assert mlmodel(made) == mlmodel(saved)


@pytest.mark.parametrize("name", ["input_example.json", "serving_input_example.json"])
def test_mlflow_writes_the_same_example(made: Path, saved: Path, name: str) -> None:
    assert json.loads((made / name).read_text()) == json.loads((saved / name).read_text())


def test_the_three_forms_of_the_environment_are_one(made: Path, saved: Path) -> None:
    pins = (made / "requirements.txt").read_text().split()
    conda = yaml.safe_load((made / "conda.yaml").read_text())
    assert conda["dependencies"] == [f"python={HERE}", "pip", {"pip": pins}]
    assert yaml.safe_load((made / "python_env.yaml").read_text()) == {
        "python": HERE,
        "dependencies": ["-r requirements.txt"],
    }
    assert all("==" in pin for pin in pins)
    assert set(pins) == set((saved / "requirements.txt").read_text().split())


def test_nothing_tells_of_this_machine(made: Path) -> None:
    for path in (made / name for name in files(made) if not name.startswith(("code", "artifacts"))):
        assert str(made.parents[2]) not in path.read_text()
        assert "utc_time" not in path.read_text()


def test_the_metadata_is_the_manifests(made: Path) -> None:
    metadata = Model.load(str(made)).metadata["onnxferry"]
    assert (metadata["name"], metadata["task"]) == ("tiny-qa", "question-answering")
    assert metadata["precision"] == "fp32"
    assert metadata["columns"] == dict.fromkeys(("question", "context", "text"), "string")


def test_the_input_example_is_the_golden_request(made: Path) -> None:
    model = mlflow.pyfunc.load_model(str(made))
    params = model.metadata.load_input_example_params(str(made))
    assert params == {"top_k": 2}
    given = model.predict(model.input_example, params).to_dict("records")
    assert [row["answer"] for row in given] == ["dolly parton"]
    assert [len(row["answers"]) for row in given] == [2]


@pytest.mark.parametrize("golden", [None, tiny.golden({"nonsense": 1}, [])])
def test_without_a_request_that_mlflow_has_a_form_for_there_is_no_example(
    golden: Golden | None, tmp_path: Path
) -> None:
    folder = built(with_golden(tiny.question_answering(tmp_path / "model"), golden), tmp_path).path
    assert not list(folder.glob("*example.json"))
    assert Model.load(str(folder)).saved_input_example_info is None


MODELS = {
    **{task: make for task, (make, _, _) in CASES.items()},
    "tensors": prepared_tensors,
    "a task of one's own": own,
}


@pytest.fixture(params=MODELS)
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> ModelSpec:
    return ModelSpec.read(MODELS[request.param](tmp_path))


def test_mlflow_reads_the_signature_of_every_task(spec: ModelSpec) -> None:
    said = signature(spec)
    read = ModelSignature.from_dict({name: json.dumps(part) for name, part in said.items()})
    assert {name: json.loads(part) for name, part in read.to_dict().items()} == said
    known = columns(spec)
    fields = list(said["outputs"][0].get("properties", ()))
    assert list(known.outputs) in (read.outputs.input_names(), fields)
    assert [p.name for p in read.params] == [*known.parameters, "errors"]
    assert read.inputs.input_names()[: len(known.inputs)] == [c.name for c in known.inputs]
    assert not read.inputs.required_input_names()
    assert {i["type"] for i in said["outputs"]} <= {*SCALARS, "array", "object"}


def test_spark_makes_a_type_of_every_tasks_answers(spec: ModelSpec) -> None:
    said = {name: json.dumps(part) for name, part in signature(spec).items()}
    kind = mlflow.pyfunc._infer_spark_udf_return_type(ModelSignature.from_dict(said).outputs)
    assert sorted(kind.fieldNames()) == sorted(columns(spec).outputs)


def test_a_frame_without_params_is_answered_as_the_model_would(made: Path) -> None:
    model = mlflow.pyfunc.load_model(str(made))
    given = model.predict(pandas.DataFrame([ASKED]))
    assert list(given.columns) == list(columns(ModelSpec.read(made / "artifacts/model")).outputs)
