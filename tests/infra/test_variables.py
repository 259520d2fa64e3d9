"""The environment table of deploy.toml: what it may hold, and every mistake in it at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from onnxferry.infra import config
from onnxferry.infra.config import load
from onnxferry.infra.environment_variables import AZUREML, FUNCTIONS, SAGEMAKER, Rules, checked
from onnxferry.infra.functions.app_settings import RECORD
from onnxferry.infra.target_tables import Functions
from onnxferry.system.errors import UsageError
from tests.fakes.azure.providers.web_shapes import FORBIDDEN

ROOT = Path(__file__).parents[2]
OUR_PLANS = [  # what they set on an app or a model, or the platform forbids
    *((FUNCTIONS, name) for name in sorted(FORBIDDEN)),
    *((FUNCTIONS, f"AzureWebJobsStorage__{name}") for name in ("accountName", "credential")),
    (FUNCTIONS, "DEPLOYMENT_STORAGE_CONNECTION_STRING"),
    (FUNCTIONS, "azurewebjobsstorage"),  # names of app settings count in any case
    (FUNCTIONS, RECORD),
    (SAGEMAKER, "SAGEMAKER_PROGRAM"),
    (AZUREML, "AZUREML_MODEL_DIR"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deploy.toml"


def refusal(
    file: Path, text: str, flags: dict[str, str] | None = None, target: str = "sagemaker"
) -> str:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(target, file, flags)
    return str(caught.value)


def test_a_table_of_texts(file: Path) -> None:
    file.write_text(
        '[sagemaker]\nregion = "eu-west-1"\n[sagemaker.environment]\n'
        'ONNXFERRY_ENGINE_THREADS = "2"\nONNXFERRY_LIMIT_ITEMS = "64"\n_team2 = ""\n'
    )
    table = load("sagemaker", file).sagemaker
    assert table
    assert table.environment == {
        "ONNXFERRY_ENGINE_THREADS": "2",
        "ONNXFERRY_LIMIT_ITEMS": "64",
        "_team2": "",
    }


def test_all_mistakes_at_once_and_no_text_that_may_be_a_secret(file: Path) -> None:
    text = refusal(
        file,
        '[sagemaker]\nregion = "nowhere"\n[sagemaker.environment]\n"2 TEAMS" ='
        ' "hunter2"\nSAGEMAKER_PROGRAM = "hunter2"\nCOUNT = 2\nSWITCH = true\nLONG ='
        f' "{"x" * 1025}"\nONNXFERRY_THREADS = "2"\nonnxferry_engine_runs ='
        ' "2"\nONNXFERRY_ENGINE_THREAD = "2"\nONNXFERRY_ENGINE_THREADS ='
        ' "{all}"\nONNXFERRY_LIMIT_ITEMS = "none"\n[azureml.environment]\nAML_APP_ROOT ='
        ' "hunter2"\n',
    )
    for line in (
        (
            f"sagemaker.environment.2 TEAMS ({file}): a variable's name has letters, digits and"
            " underscores"
        ),
        (
            f"sagemaker.environment.SAGEMAKER_PROGRAM ({file}): what is deployed, or the platform,"
            " depends on this"
        ),
        (
            "sagemaker.environment.COUNT ({file}): a variable's value is a text, in quotes like"
            ' "2"; got 2'
        ),
        (
            "sagemaker.environment.SWITCH ({file}): a variable's value is a text, in quotes like"
            ' "2"; got True'
        ),
        (
            "sagemaker.environment.LONG ({file}): the platform takes values of at most 1024"
            " characters; got 1025"
        ),
        (
            "sagemaker.environment.ONNXFERRY_THREADS ({file}): no variable of ours; known:"
            " ONNXFERRY_LIMIT_*, ONNX"
        ),
        "sagemaker.environment.onnxferry_engine_runs ({file}): no variable of ours",
        "ONNXFERRY_ENGINE_THREAD sets nothing of the engine; known: ONNXFERRY_ENGINE_THREADS",
        "ONNXFERRY_ENGINE_THREADS must be an integer from 0",
        "ONNXFERRY_LIMIT_ITEMS must be an integer of at least 1, got 'none'",
        "azureml.environment.AML_APP_ROOT",
        "sagemaker.region",
    ):
        assert line.format(file=file) in text
    assert "hunter2" not in text


@pytest.mark.parametrize(("rules", "name"), OUR_PLANS)
def test_what_our_plans_need_is_not_to_be_set(rules: Rules, name: str) -> None:
    with pytest.raises(ValueError, match=r"leave it out|no variable of ours"):
        checked({name: "x"}, rules)


def test_the_users_own_choices_are_taken() -> None:
    for rules, name in (
        (AZUREML, "WORKER_COUNT"),
        (AZUREML, "GUNICORN_CMD_ARGS"),
        (FUNCTIONS, "PYTHON_THREADPOOL"),
    ):
        assert checked({name: "1"}, rules) == {name: "1"}


@pytest.mark.parametrize("given", ["hunter2", '{"TEAM": "hunter2"', '["hunter2"]', "2"])
def test_what_is_no_table_is_refused_and_not_shown(file: Path, given: str) -> None:
    text = refusal(file, "", {"sagemaker.environment": given})
    start = "sagemaker.environment (--set sagemaker.environment): a table of names and texts is"
    assert start in text
    assert "hunter2" not in text


def test_a_mistake_in_an_entry_names_the_flag(file: Path) -> None:
    text = refusal(file, "", {"sagemaker.environment.SAGEMAKER_PROGRAM": "x"})
    assert "sagemaker.environment.SAGEMAKER_PROGRAM (--set sagemaker.environment.SAGEM" in text
    text = refusal(file, "", {"sagemaker.environment": "SAGEMAKER_PROGRAM=x"})
    assert "sagemaker.environment.SAGEMAKER_PROGRAM (--set sagemaker.environment): what" in text


def test_the_schema_knows_it() -> None:
    validator = Draft202012Validator(config.schema())
    assert validator.is_valid({"sagemaker": {"environment": {"TEAM": "ml"}}})
    assert not validator.is_valid({"sagemaker": {"environment": {"2 TEAMS": "ml"}}})
    assert not validator.is_valid({"sagemaker": {"environment": {"COUNT": 2}}})


def test_only_variables_of_ours_load_the_scoring_core() -> None:
    code = (
        "import sys; from onnxferry.infra.target_tables import SageMaker;"
        "SageMaker(environment={'TEAM': 'ml'});"
        "print({'numpy', 'onnxruntime', 'onnxferry.scoring'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_what_may_be_fetched_is_checked_as_scoring_does() -> None:
    given = {"ONNXFERRY_URLS_ALLOW": "true", "ONNXFERRY_URLS_HOSTS": "a.com,*.b.com:8443"}
    assert checked(given, AZUREML) == given
    for name, value, said in (
        ("ONNXFERRY_URLS_ALLOW", "maybe", "must be true or false"),
        ("ONNXFERRY_URLS_HOSTS", "10.0.0.1", "must list hosts like"),
        ("ONNXFERRY_URLS_SECONDS", "0", "must be an integer from 1 to 300"),
        ("ONNXFERRY_URLS_PROXY", "1", "sets nothing of URLs; known: ONNXFERRY_URLS_ALLOW"),
    ):
        with pytest.raises(ValueError, match=said):
            checked({name: value}, AZUREML)


def test_hosts_of_deploy_toml_are_what_scoring_takes() -> None:
    given = {"subscription": "0" * 8 + "-0000" * 3 + "-" + "0" * 12, "resource_group": "g"}
    read = Functions(**given, allow_urls=True, url_hosts=("A.com", "*.b.com"))
    assert read.url_hosts == ("a.com", "*.b.com")
    with pytest.raises(ValueError, match="url_hosts must list hosts like"):
        Functions(**given, allow_urls=True, url_hosts=("https://a.com",))
