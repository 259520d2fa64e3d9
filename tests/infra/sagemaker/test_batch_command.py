"""The command `batch`: what it says before anything is paid, while a job is at work, and at the
end."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxferry import cli
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.batch_cost import BatchCost, cpu_of_row, cpus, rows_of
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.jobs import JSON_LINES, PICTURES, DataFile, Dataset
from onnxferry.infra.prices.table import PriceTable
from onnxferry.infra.sagemaker.batch import cloud as batch_cloud
from onnxferry.infra.waiting import Clock
from onnxferry.scripts.rehearse.record import RehearsalRecord
from tests import tiny
from tests.fakes.aws import REGION, AwsServer
from tests.infra.sagemaker.conftest import NAME, KeptSession, clock, model
from tests.packages import bare

GOOD = (json.dumps(tiny.QUESTION) + "\n").encode()
Batch = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("batch") / "model", 30)


@pytest.fixture
def batch(aws: AwsServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """batch("--cancel", ...): the command, in this process, by a clock that does not wait."""
    ticks: list[Clock] = [clock()]
    clients = partial(AwsClients, session=KeptSession)
    monkeypatch.setattr(f"{batch_cloud.__name__}.AwsClients", clients)
    monkeypatch.setattr("onnxferry.infra.command_options.CommandOptions.layout", bare("sagemaker"))
    connect = batch_cloud.connect
    monkeypatch.setattr(
        batch_cloud, "connect", lambda config, name: connect(config, name, ticks[0])
    )
    file = tmp_path / "deploy.toml"
    file.write_text(f'[sagemaker]\nregion = "{REGION}"\n', encoding="utf-8")
    aws.s3.create_bucket("data", REGION)
    aws.s3.put_object("data", "in/a.jsonl", GOOD * 3)
    places = ["--input", "s3://data/in/", "--output", "s3://data/out/"]
    known = ["--target", "sagemaker", "--name", NAME, "--config", str(file)]
    words = ["batch", *known, "--model", str(folder), "--out", str(tmp_path / "build"), *places]

    def run(*more: str, at: Clock | None = None, yes: bool = True) -> Result:
        ticks[:] = [at or clock()]
        consent = ["--yes"] if yes else []
        return CliRunner().invoke(cli.cli, [*words, *more, *consent], catch_exceptions=False)

    return run


def test_what_it_will_cost_is_said_first(aws: AwsServer, batch: Batch) -> None:
    done = batch(yes=False)
    assert done.exit_code == 2
    assert "1 file(s) of JSON Lines" in done.output
    assert "Scored here first: 3 row(s), 3 answered." in done.output
    assert "instance-hours of 1 x ml.m5.large: some 3 rows" in done.output
    assert f"What an hour of a job costs in {REGION} is not known" in done.output
    assert "transform job" in done.output
    assert "(billed by the hour)" in done.output
    assert "no answer: nothing is done" in done.output
    assert (len(aws.transform_jobs), list(aws.keys)) == (0, ["data"])


def test_a_job_is_followed_to_its_end(aws: AwsServer, batch: Batch) -> None:
    done = batch("--format", "json", "--instances", "2", "--instance-type", "ml.m5.xlarge")
    assert done.exit_code == 0, done.output
    (job,) = aws.transform_jobs.values()
    said = json.loads(done.stdout)
    facts = {"job": job.name, "state": "Completed", "output": "s3://data/out/"}
    assert said == {**facts, "answered": 1, "files": 1}
    fleet = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}
    assert job.asked["TransformResources"] == fleet
    again = batch()
    assert again.exit_code == 0
    assert "nothing was missing" in again.stdout
    assert "1 of 1 file(s) answered in s3://data/out/" in again.stdout


def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(aws: AwsServer, batch: Batch) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    done = batch(at=Clock(sleep=sleep))
    (job,) = aws.transform_jobs.values()
    assert (done.exit_code, job.state) == (130, "InProgress")
    assert f"{job.name} goes on, and is billed" in done.output
    assert "and --cancel" in done.output
    again = batch()
    assert (again.exit_code, len(aws.transform_jobs)) == (0, 1)


def test_without_waiting_and_cancelled(aws: AwsServer, batch: Batch) -> None:
    assert "InProgress" in batch("--no-wait").stdout
    done = batch("--cancel")
    assert done.exit_code == 0, done.output
    assert [job.state for job in aws.transform_jobs.values()] == ["Stopped"]
    done = batch("--cancel")
    assert done.exit_code == 1
    assert "nothing to cancel" in done.output


def test_a_job_that_fails_says_why_and_how_to_go_on(aws: AwsServer, batch: Batch) -> None:
    aws.transform_jobs.trouble["a.jsonl"] = 503
    done = batch("--no-check")
    assert done.exit_code == 1
    assert "The first rows were not scored here." in done.output
    assert "ended as Failed, and 1 of 1 file(s) have no answer. The same command" in done.output
    assert "in/a.jsonl: ClientError: 503" in done.output
    assert "dolly" not in done.output


def test_rows_that_no_model_takes_cost_nothing(aws: AwsServer, batch: Batch) -> None:
    aws.s3.put_object("data", "in/a.jsonl", b'"secret words"\n')
    done = batch()
    assert done.exit_code == 2
    assert "the model refuses all of the first 1 row(s)" in done.output
    assert "secret" not in done.output
    assert aws.transform_jobs == {}


def test_a_target_without_batch_jobs_is_not_listed() -> None:
    words = ["batch", "--target", "functions", "--input", "x", "--output", "y"]
    done = CliRunner().invoke(cli.cli, words)
    assert done.exit_code == 2
    assert "'functions' is not one of 'azureml', 'sagemaker'" in done.output


PRICES = PriceTable.model_validate(
    {
        "regions": {
            "r": {
                "currency": "USD",
                "date": "2026-01-31",
                "source": "a contract",
                "prices": {"batch ml.m5.large": Decimal("0.5"), "ml.m5.xlarge": Decimal("0.2")},
            }
        }
    }
)


def test_hours_and_money() -> None:
    cost = BatchCost(7_200_000, 2.0, "measured", "ml.m5.large", 3)
    assert cost.hours == pytest.approx(2 + 0.25)
    hours, money = cost.text(PRICES, "r")
    assert hours.startswith("Cost: about 2.25 instance-hours of 3 x ml.m5.large: some 7,200,000")
    assert money.startswith("That is about 1.12 USD: 0.5 USD an hour (prices of 2026-01-31")
    unknown = BatchCost(5, 0.0, "", "ml.m5.large", 1)
    assert list(unknown.text(PRICES, "r"))[1].startswith("An hour of one costs 0.5 USD")
    assert 'gives yours (meter "batch ml.m5.large")' in list(unknown.text(PRICES, "x"))[1]
    serving = BatchCost(5, 0.0, "", "ml.m5.xlarge", 1)
    assert "is not known (of one that serves: 0.2 USD)" in list(serving.text(PRICES, "r"))[1]


def test_the_cpus_of_an_instance_are_its_size() -> None:
    kinds = ("ml.t3.medium", "ml.m5.large", "ml.c5.xlarge", "ml.c6i.12xlarge", "ml.x.odd")
    assert [cpus(kind) for kind in kinds] == [1, 2, 4, 48, 2]


def test_rows_are_reckoned_by_the_first_ones() -> None:
    files = (DataFile("a", 1000), DataFile("b", 3000))
    lines = Dataset("s3://x/", JSON_LINES, files, frozenset({"a"}))
    assert rows_of(lines, Sample(rows=2, size=20)) == 300
    assert rows_of(lines, Sample()) == 0
    assert rows_of(Dataset("s3://x/", PICTURES, files), Sample()) == 2


def test_the_time_of_a_row_is_measured_or_rehearsed() -> None:
    record = RehearsalRecord("sha", "3.12", "host", 1, 2, 3, 4.5, 100, 2, "a machine")
    assert cpu_of_row(Sample(), None, "sha") == (0.0, "")
    assert cpu_of_row(Sample(), record, "other") == (0.0, "")
    assert cpu_of_row(Sample(), record, "sha")[0] == 4.5
    ms, how = cpu_of_row(Sample(rows=2, cpu_ms=6), record, "sha")
    assert (ms, "4.5 for the golden request" in how) == (3.0, True)
