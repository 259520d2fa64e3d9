"""`onnxferry template --target azureml`: what it prints and writes, whom it asks, and refuses."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra.azureml import workspace as room
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.azureml.conftest import QUICK
from tests.infra.azureml.workspace_account import NAMES, WorkspaceAccount, workspace_account

Template = Callable[..., Result]


@pytest.fixture
def account() -> Iterator[WorkspaceAccount]:
    with workspace_account() as found:
        yield found


@pytest.fixture
def template(
    account: WorkspaceAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Template:
    """template("--what-if", ...) runs the command, in a folder with a deploy.toml."""
    monkeypatch.chdir(tmp_path)
    text = f'subscription = "{SUBSCRIPTION}"\nresource_group = "rg"\nworkspace = "work"\n'
    Path("deploy.toml").write_text(f"[azureml]\n{text}", encoding="utf-8")
    monkeypatch.setattr(room, "connect", functools.partial(room.connect, clock=QUICK))

    def run(*words: str, answer: str | None = None) -> Result:
        given = ["template", "--target", "azureml", *words]
        done = CliRunner().invoke(cli.cli, given, input=answer)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_no_endpoint_has_to_be_named(template: Template) -> None:
    done = template("--set", "capture.percent=10", "--file", "made/azureml.json")
    assert (done.exit_code, done.stdout) == (0, "")
    found = json.loads(Path("made/azureml.json").read_text(encoding="utf-8"))
    assert found["parameters"]["identityWrites"]["defaultValue"] is True


def test_preview_then_deploy_and_then_again(template: Template, account: WorkspaceAccount) -> None:
    before = account.kinds()
    done = template("--what-if")
    assert "Deploy the template of workspace work on azureml (resource group rg" in done.stdout
    assert f'identity = "{NAMES.id("identity")}" in [azureml]' in " ".join(done.stdout.split())
    assert f"  container registry {NAMES.shared} (billed by the day" in done.stdout
    assert template("--deploy", answer="n\n").exit_code == 1
    assert account.kinds() == before
    made = template("--deploy", answer="y\n")
    assert "Deploy the template of workspace work on azureml? [y/N]" in made.stderr
    assert made.stdout.endswith("Next: onnxferry deploy --target azureml\n")
    again = template("--deploy")  # nobody is asked for nothing
    assert (again.exit_code, "nothing to do" in again.stderr) == (0, True)


def test_what_is_wrong_is_said(template: Template, account: WorkspaceAccount) -> None:
    account.fake.store.delete(NAMES.group_id)
    done = template("--what-if")
    assert (done.exit_code, "Traceback" in done.stderr) == (1, False)
    assert "az group create --name rg" in done.stderr
    done = template("--deploy", "--endpoint")
    assert done.exit_code == 2
    assert "publishes the package, no template" in done.stderr
