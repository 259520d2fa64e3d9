"""AzureML's package beside an online endpoint's files: those of batch jobs, and of the component by
which a pipeline scores rows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from pyarrow import parquet

from onnxferry.scripts.package import Package, azureml_batch, azureml_score, layout_of, package
from tests import tiny
from tests.packages import quiet
from tests.targets.served import HERE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("azureml")
    model = tiny.text_classification(folder / "model")
    return package(model, layout_of("azureml"), out=folder, python=HERE, report=quiet)


def test_azureml_takes_the_files_of_batch_jobs(built: Package) -> None:
    ml = pytest.importorskip("azure.ai.ml")
    from azure.ai.ml.entities._load_functions import load_model_batch_deployment

    endpoint = ml.load_batch_endpoint(built.path / azureml_batch.ENDPOINT)
    deployment = load_model_batch_deployment(built.path / azureml_batch.DEPLOYMENT)

    assert endpoint.name == deployment.endpoint_name == "tiny-text-batch"
    assert (deployment.compute, deployment.type) == ("onnxferry-batch", "model")
    settings = deployment.settings
    assert (str(settings.output_action), settings.output_file_name) == (
        "append_row",
        "answers.jsonl",
    )
    assert (settings.mini_batch_size, settings.max_concurrency_per_instance) == (10, 1)
    assert (settings.error_threshold, settings.retry_settings.timeout) == (0, 3600)
    code = deployment.code_configuration
    assert (built.path / code.code / code.scoring_script).is_file()
    assert deployment.environment.conda_file["dependencies"][0] == f"python={HERE}"


@pytest.mark.parametrize(
    ("online", "batch"), [("tiny", "tiny-batch"), ("m" * 25 + "-more", "m" * 25 + "-batch")]
)
def test_a_batch_endpoints_name_is_another_and_not_too_long(online: str, batch: str) -> None:
    assert azureml_batch.batch_name(online) == batch


# the process finds nothing but what score-env.yml lists, and no other onnxferry than the code's
SITE = """
import sys
from importlib.metadata import packages_distributions
LISTED = {listed!r}
class Absent:
    def find_spec(name, path=None, target=None):
        made_by = FOUND.get(name.partition(".")[0])
        if made_by and not {{d.lower().replace("_", "-") for d in made_by}} & LISTED:
            raise ModuleNotFoundError(f"no module {{name}} in score-env.yml", name=name)
FOUND = {{name: of for name, of in packages_distributions().items() if name != "onnxferry"}}
sys.meta_path = [Absent, *(f for f in sys.meta_path if "editable" not in repr(f).lower())]
"""


def run(built: Package, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The component's command as AzureML writes it with such inputs, in the folder of its code."""
    declared = yaml.safe_load((built.path / azureml_score.COMPONENT).read_text())
    listed = yaml.safe_load((built.path / azureml_score.ENVIRONMENT).read_text())
    pins = {pin.partition("==")[0] for pin in listed["dependencies"][-1]["pip"]}
    (folder / "sitecustomize.py").write_text(SITE.format(listed=pins))
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    values |= {
        f"inputs.{name}": str(said["default"])
        for name, said in declared["inputs"].items()
        if "default" in said and name not in inputs
    }
    values["outputs.answers"] = str(folder / "answers")
    optional = r"\1" if "set" in inputs else ""
    command = re.sub(r"\$\[\[(.*?)\]\]", optional, declared["command"])
    command = re.sub(r"\$\{\{(.*?)\}\}", lambda found: values[found[1]], command)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=built.path / declared["code"],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(folder), "NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_pipelines_component_scores_rows_with_its_own_code_and_libraries(
    built: Package, tmp_path: Path
) -> None:
    """The model is mounted as a folder of its own, or within the one that was registered."""
    ml = pytest.importorskip("azure.ai.ml")
    component = ml.load_component(built.path / azureml_score.COMPONENT)
    assert (component.type, component.distribution) == ("command", None)
    data = tmp_path / "wd" / "INPUT_data with spaces"
    data.mkdir(parents=True)
    (tmp_path / "answers").mkdir()
    (data / "a.jsonl").write_text('{"id": 1, "text": "good day"}\n{"id": 2, "text": 3}\n')

    whole = run(built, tmp_path, data=str(data), model=str(built.path / "model"))
    within = run(
        built,
        tmp_path,
        **{"data": str(data), "model": str(built.path), "format": "csv", "set": "top_k=2"},
    )

    assert whole.returncode == 0, whole.stdout + whole.stderr
    table = parquet.read_table(tmp_path / "answers" / "answers.parquet")
    assert table.schema.names == ["id", "text", "label", "score", "error"]
    assert table["label"].to_pylist() == ["good", None]
    assert within.returncode == 0, within.stdout + within.stderr
    lines = (tmp_path / "answers" / "answers.csv").read_text().splitlines()
    assert lines[0].replace('"', "").split(",")[-2:] == ["labels", "error"]
