"""`plan` says what the deployment costs, in words and as JSON; `deploy` does not."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from onnxferry.cli import cli
from onnxferry.infra import command_line
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.plan_text import plan_text
from onnxferry.scripts.rehearse import record
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.infra.functions.azure_account import APP, GROUP, AzureAccount, deploy
from tests.infra.functions.test_costs import REHEARSED

Versions = tuple[Bundle, Bundle, Bundle]


@pytest.fixture
def bundle(versions: Versions, tmp_path: Path) -> Bundle:
    """A package in a folder of its own, as packaging makes it, which was rehearsed."""
    package = versions[0].package
    path = tmp_path / "build" / "functions" / package.model / "function.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(package.path.read_bytes())
    kept = asdict(replace(REHEARSED, sha256=package.sha256))
    (path.parent / record.FILE).write_text(json.dumps(kept))
    return replace(versions[0], package=replace(package, path=path))


@pytest.fixture
def plan(
    azure: AzureAccount, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """plan("--set", ...): what `onnxferry plan` prints."""
    opened = lambda given: (azure.cloud(location=given.config.functions.location), bundle)  # noqa: E731
    monkeypatch.setattr(command_line, "_open_with_bundle", opened)
    file = tmp_path / "deploy.toml"
    file.write_text(
        f'[functions]\nsubscription = "{SUBSCRIPTION}"\nresource_group = "{GROUP}"\n'
        'location = "eastus2"\n'
    )
    words = ["plan", "--target", "functions", "--name", APP, "--config", str(file)]

    def run(*more: str) -> Any:
        return CliRunner().invoke(cli, [*words, *more])

    return run


def test_in_words(plan: Any) -> None:
    text = plan("--set", "requests_per_month=1000000").stdout
    assert "Cost a month in eastus2, 1,000,000 requests: 0.30 to 49.70 USD" in text
    assert text.index("It usually takes") < text.index("Cost a month")


def test_as_json_with_exact_amounts(plan: Any) -> None:
    done = plan("--set", "requests_per_month=50001", "--output", "json")
    summary = json.loads(done.stdout)["summary"]
    assert summary["region"] == "eastus2"
    cost = summary["cost"]
    assert (cost["total"], cost["currency"]) == (["0", "0.000052"], "USD")
    assert (cost["date"], cost["load"]) == ("2026-10-05", "50,001 requests")
    active = next(line for line in cost["lines"] if line["meter"] == "on_demand_gb_second")
    assert (active["price"], active["free"]) == ("0.000026", "100000")
    assert len(cost["assumptions"]) == 4
    assert cost["unknown"] == ""


def test_nothing_to_do_still_costs(azure: AzureAccount, bundle: Bundle, plan: Any) -> None:
    deploy(azure.cloud(), bundle)
    text = plan("--set", "location=westeurope", "--set", "requests_per_month=1000000").stdout
    assert "nothing to do" in text
    assert "It would be 0.30 to 49.70 USD in eastus2 (prices of 2026-10-05)." in text


def test_one_line_without_requests_and_none_in_deploy(
    azure: AzureAccount, bundle: Bundle, plan: Any
) -> None:
    (line,) = [line for line in plan().stdout.splitlines() if "Cost" in line]
    assert line.endswith("or --set requests_per_month=100000.")
    planned = azure.cloud(requests_per_month=1000).plan_deploy(bundle)
    assert planned.summary.cost is None
    assert "Cost a month" not in plan_text(planned)


def test_own_prices(plan: Any, tmp_path: Path) -> None:
    file = tmp_path / "ours.json"
    prices = {"on_demand_gb_second": "0.00001", "on_demand_million_executions": "0.2"}
    about = {"currency": "EUR", "date": "2026-11-01", "source": "our contract"}
    file.write_text(json.dumps({"regions": {"eastus2": {**about, "prices": prices}}}))
    own = ("--set", "requests_per_month=1000000", "--set", f"prices={file}")
    assert "0.96 to 20.20 EUR (prices of 2026-11-01: our contract)" in plan(*own).stdout


def test_prices_that_are_none_are_an_error_before_anything_is_packaged(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "_open_with_bundle", lambda given: pytest.fail("packaged"))
    done = plan("--set", f"prices={tmp_path / 'none.json'}")
    assert "none.json: cannot be read" in done.output + str(done.exception)
    assert done.exit_code != 0
