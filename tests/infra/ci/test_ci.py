"""`ci` writes a pipeline whole or not at all, says all that is wrong at once, and what it writes is
what the providers take: pinned, without keys, and with no more rights than each job needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from check_jsonschema.cli.main_command import main as check_jsonschema
from click.testing import CliRunner

from onnxferry.infra.ci import targets
from onnxferry.infra.ci_command import _TARGETS
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.ci.pipelines import BESIDE, GIVEN, PLACES, ci, pipeline, repository, scripts

PROVIDER = pytest.mark.parametrize("provider", GIVEN)
TARGET = pytest.mark.parametrize("target", targets())
JOBS = {
    "github": ("build", "plan", "comment", "deploy", "rollback"),
    "azure-devops": ("build", "plan", "deploy", "rollback"),
}
# what AWS's task of the marketplace takes, which the published schema does not know
AWS_TASK = {"awsCredentials", "regionName", "scriptType", "filePath", "disableAutoCwd"}


def test_the_command_offers_what_can_be_written() -> None:
    assert targets() == _TARGETS


@PROVIDER
@TARGET
def test_what_is_written_is_by_the_providers_schema(
    tmp_path: Path, provider: str, target: str
) -> None:
    ci(repository(tmp_path, target), target, provider)
    file = tmp_path / PLACES[provider] / f"Squad-{target}.yml"
    file.write_text(known_tasks(file.read_text(encoding="utf-8")), encoding="utf-8")
    options = {
        "github": ["vendor.github-workflows"],
        "azure-devops": [
            *("vendor.azure-pipelines", "--data-transform", "azure-pipelines"),
            *("--regex-variant", "nonunicode"),
        ],
    }
    words = ["--builtin-schema", *options[provider], str(file)]
    done = CliRunner().invoke(check_jsonschema, words)
    assert done.exit_code == 0, done.output[-2000:]


def known_tasks(text: str) -> str:
    """A pipeline with Microsoft's own tasks alone: AWS's is a script, once its inputs are right."""
    made = yaml.safe_load(text)
    for stage in made.get("stages", ()):
        for step in all_steps(stage):
            if step.get("task") == "AWSShellScript@1":
                inputs = step.pop("inputs")
                assert set(inputs) == {*AWS_TASK, "workingDirectory"}
                assert (inputs["scriptType"], inputs["disableAutoCwd"]) == ("filePath", True)
                step.pop("task")
                step["bash"] = inputs["filePath"]
    return text if "stages" not in made else yaml.safe_dump(made, sort_keys=False)


def all_steps(stage: Any) -> Any:
    (job,) = stage["jobs"]
    return job.get("steps") or job["strategy"]["runOnce"]["deploy"]["steps"]


@TARGET
def test_a_workflow_has_no_finding_of_a_security_linter(tmp_path: Path, target: str) -> None:
    linter = shutil.which("zizmor")
    if not linter:
        pytest.skip("zizmor is not installed")
    ci(repository(tmp_path, target), target, "github")
    words = [linter, "--offline", "--no-progress", str(tmp_path / PLACES["github"])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@TARGET
def test_every_action_is_a_commit_with_its_release_beside(tmp_path: Path, target: str) -> None:
    ci(repository(tmp_path, target), target, "github")
    text = (tmp_path / PLACES["github"] / f"Squad-{target}.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert len(used) > 10
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used)


@PROVIDER
@TARGET
def test_no_key_is_stored_and_no_script_holds_what_others_write(
    tmp_path: Path, provider: str, target: str
) -> None:
    """What a pull request says comes in variables, never in a script's text."""
    ci(repository(tmp_path, target), target, provider)
    for path in tmp_path.rglob("*"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert not re.search(r"secrets\.|ACCESS_KEY|CLIENT_SECRET|PASSWORD", text), path
    title = f"Squad-{target}"
    assert (tmp_path / BESIDE[provider] / title / "SETUP.md").exists()
    if target == "sagemaker":
        for job in JOBS[provider]:
            for _, script, _ in scripts(tmp_path, provider, job):
                assert "${{" not in script
                assert not re.search(r"\$\([A-Z]\w*\.", script)
                assert script.startswith("set -euo pipefail\n")


def test_each_job_of_a_workflow_has_the_permissions_of_its_steps_alone(tmp_path: Path) -> None:
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "github")
    made = pipeline(tmp_path, "github")
    jobs = made["jobs"]
    assert made["permissions"] == {}
    assert "pull_request_target" not in made["on"]
    rights = {name: job["permissions"] for name, job in jobs.items()}
    sign_in = {"contents": "read", "id-token": "write"}
    assert rights == {
        "build": {"contents": "read"},
        "plan": sign_in,
        "comment": {"pull-requests": "write"},
        "deploy": sign_in,
        "rollback": sign_in,
    }
    environments = {name: job.get("environment") for name, job in jobs.items()}
    assert environments == {
        "build": None,
        "plan": "Squad-sagemaker-plan",
        "comment": None,
        "deploy": "Squad-sagemaker",
        "rollback": "Squad-sagemaker",
    }
    for name in ("deploy", "rollback"):
        assert "github.ref == 'refs/heads/main'" in jobs[name]["if"]
        assert jobs[name]["concurrency"]["cancel-in-progress"] is False
    assert "head.repo.full_name == github.repository" in jobs["plan"]["if"]
    checkouts = re.findall(r"persist-credentials: false", text_of(tmp_path))
    assert len(checkouts) == text_of(tmp_path).count("actions/checkout@")


def text_of(root: Path) -> str:
    return (root / PLACES["github"] / "Squad-sagemaker.yml").read_text(encoding="utf-8")


def test_a_deployment_of_azure_devops_needs_the_branch_and_the_environment(tmp_path: Path) -> None:
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "azure-devops", "--branch", "release")
    stages = {stage["stage"]: stage for stage in pipeline(tmp_path, "azure-devops")["stages"]}
    for name in ("deploy", "rollback"):
        (job,) = stages[name]["jobs"]
        assert job["environment"] == "Squad-sagemaker"
        assert "eq(variables['Build.SourceBranch'], 'refs/heads/release')" in str(stages[name])
        assert stages[name]["lockBehavior"] == "sequential"
    tasks = [step for stage in stages.values() for step in all_steps(stage)]
    signed = [t["inputs"]["awsCredentials"] for t in tasks if t.get("task") == "AWSShellScript@1"]
    assert signed == ["Squad-sagemaker-plan", "Squad-sagemaker", "Squad-sagemaker"]


def test_what_a_job_may_take_follows_from_the_longest_wait(tmp_path: Path) -> None:
    ci(repository(tmp_path, "sagemaker", more="wait_minutes = 240\n"), "sagemaker", "github")
    deploy = pipeline(tmp_path, "github")["jobs"]["deploy"]
    (sign_in,) = (s["with"] for s in deploy["steps"] if "role-to-assume" in s.get("with", {}))
    assert (sign_in["role-duration-seconds"], deploy["timeout-minutes"]) == (32400, 540)


def test_a_roll_out_in_steps_is_waited_for(tmp_path: Path) -> None:
    more = 'rollout = { traffic = "linear", step_percent = 25, wait_seconds = 600 }\n'
    ci(repository(tmp_path, "azureml", more=more), "azureml", "github")
    deploy = pipeline(tmp_path, "github", "Squad-azureml")["jobs"]["deploy"]
    assert deploy["timeout-minutes"] == 60 + 2 * 30 + 2 * 3 * 10


def test_only_the_job_that_prepares_installs_the_tool_chain(tmp_path: Path) -> None:
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "github")
    commands = {job: str([*scripts(tmp_path, "github", job)]) for job in JOBS["github"]}
    assert {job for job, text in commands.items() if "[export,image,aws]" in text} == {"build"}
    assert "Prepare the model within its gate" in commands["build"]
    own = repository(tmp_path / "own", "sagemaker", '[model]\nname = "Squad"\npath = "model"\n')
    ci(own, "sagemaker", "github", "--install", "./wheels/onnxferry.whl[aws]")
    built = str([*scripts(own, "github", "build")])
    assert "Package the model" in built
    assert "'./wheels/onnxferry.whl[aws]'" in built
    assert "export" not in built


def test_run_again_it_writes_what_differs_and_nothing_of_others(tmp_path: Path) -> None:
    root = repository(tmp_path, "sagemaker")
    first = ci(root, "sagemaker", "github")
    assert first.count(": written") == 7
    assert ci(root, "sagemaker", "github").count(": as before") == 7
    file = root / PLACES["github"] / "Squad-sagemaker.yml"
    file.write_text("name: mine\n", encoding="utf-8")
    (root / BESIDE["github"] / "Squad-sagemaker" / "roles.json").unlink()
    said = ci(root, "sagemaker", "github", code=2)
    assert f"{file}: there already, with another text; --force writes them anew" in said
    assert not (root / BESIDE["github"] / "Squad-sagemaker" / "roles.json").exists()
    assert ci(root, "sagemaker", "github", "--force").count(": written") == 2


def test_all_mistakes_are_said_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "deploy.toml").write_text(f'{MODEL}[sagemaker]\nprofile = "mine"\n')
    wrong = ["--repository", "squad", "--account", "12", "--branch", "-x"]
    wrong += ["--install", "onnxferry; ${{ secrets.TOKEN }}", "--model", "/models/squad"]
    said = ci(tmp_path, "sagemaker", "azure-devops", *wrong, "--organization-id", "7", code=2)
    for expected in (
        "--repository: expected ORGANIZATION/PROJECT; got 'squad'",
        "--account: expected the AWS account's 12 digits; got '12'",
        "--branch: expected a branch's name, like main; got '-x'",
        "--organization-id: expected the id of the organization (a GUID)",
        "sagemaker.region: needed in deploy.toml",
        "sagemaker.profile (deploy.toml): a pipeline has no profiles",
        "the model directory: expected a path inside the repository, without $",
        "--install: expected what pip installs, on one line without $",
    ):
        assert expected in said
    assert [path.name for path in tmp_path.iterdir()] == ["deploy.toml"]


MODEL = '[model]\nname = "Squad"\nsource = "org/squad"\n'


@pytest.mark.parametrize(
    ("model", "flags", "expected"),
    [
        ('[model]\nsource = "org/squad"\n', (), "name the endpoint, as its permissions do"),
        ('[model]\nname = "Squad"\n', (), "say what is deployed: source in [model]"),
        (MODEL, ("--repository", "octo@1/squad"), "give both ids of --repository"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, model: str, flags: tuple[str, ...], expected: str
) -> None:
    said = ci(repository(tmp_path, "sagemaker", model), "sagemaker", "github", *flags, code=2)
    assert expected in said
    assert not (tmp_path / ".github").exists()


def test_what_the_environment_says_is_not_in_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXFERRY_SAGEMAKER_REGION", "us-east-1")
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "github")
    assert "us-east-1" not in text_of(tmp_path)
    assert "us-east-1" not in json.dumps(str([*tmp_path.rglob("*.json")]))


def test_a_workspaces_file_in_the_repository_says_where_it_deploys(tmp_path: Path) -> None:
    root = repository(tmp_path, "azureml")
    (root / "deploy.toml").write_text(f"{MODEL}[azureml]\n", encoding="utf-8")
    (root / ".azureml").mkdir()
    said = {"subscription_id": SUBSCRIPTION, "resource_group": "ml", "workspace_name": "models"}
    (root / ".azureml" / "config.json").write_text(json.dumps(said), encoding="utf-8")
    ci(root, "azureml", "github")
    (page,) = (root / ".github").rglob("SETUP.md")
    assert f"Azure subscription {SUBSCRIPTION}" in page.read_text(encoding="utf-8")
