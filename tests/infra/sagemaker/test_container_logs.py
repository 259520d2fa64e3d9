"""What containers print, as it comes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from moto.backends import get_backend

from onnxferry.cli import cli
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotAllowed, NotFound
from onnxferry.system.text_files import read_text
from tests.eventually import eventually
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

ROOT = Path(__file__).parents[3]
GROUP = f"/aws/sagemaker/Endpoints/{NAME}"
NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def put(stream: str, *said: tuple[float, str]) -> None:
    """Containers print (seconds after noon, text)."""
    logs = get_backend("logs")[ACCOUNT][REGION]
    if GROUP not in logs.groups:
        logs.create_log_group(GROUP, {})
    streams = logs.groups[GROUP].streams
    if stream not in streams:
        logs.create_log_stream(GROUP, stream)
    events = [
        {"timestamp": int((NOON.timestamp() + when) * 1000), "message": text} for when, text in said
    ]
    streams[stream].put_log_events(events)


def test_new_lines_of_all_containers_come_once(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    feed = (made := deploy(bundles[0])).log_feed(2, None)
    put("AllTraffic/i-0", (1, "one"), (3, "three"), (3, "three"))
    put("AllTraffic/i-1", (2, "two\n"))
    assert feed() == ["three", "three"]
    assert feed() == []
    put("AllTraffic/i-1", (2.5, "late: between others"), (4, "four"))
    put("AllTraffic/i-2", (5, "a new container"))
    assert feed() == ["four", "a new container"]  # earlier than what was shown first stays out
    put("AllTraffic/i-0", (3.5, "late"), (200, "much later"))
    assert feed() == ["late", "much later"]
    assert feed() == []
    assert made.logs(1) == "much later"


def test_before_anything_is_printed(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    feed = deploy(bundles[0]).log_feed(10, None)
    get_backend("logs")[ACCOUNT][REGION].groups.clear()
    assert feed() == []
    put("AllTraffic/i-0", (1, "first"))
    assert feed() == ["first"]


def test_since_a_time(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0])
    put("AllTraffic/i-0", *[(minute * 60.0, f"minute {minute}") for minute in range(5)])
    feed = made.log_feed(1, NOON + timedelta(minutes=2))
    assert feed() == ["minute 2", "minute 3", "minute 4"]
    put("AllTraffic/i-0", (300, "minute 5"))
    assert feed() == ["minute 5"]


def test_without_the_endpoint_or_the_permission(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    with pytest.raises(NotFound, match="onnxferry deploy makes it"):
        cloud().log_feed(10, None)
    feed = deploy(bundles[0]).log_feed(10, NOON)
    said = "User: x is not authorized to perform: logs:FilterLogEvents on resource: y"
    aws.refusals["FilterLogEvents"] = Refusal("AccessDeniedException", said)
    with pytest.raises(NotAllowed, match="logs:FilterLogEvents"):
        feed()


def test_the_command_ends_cleanly_by_ctrl_c(
    aws: AwsServer, bundles: tuple[Bundle, ...], tmp_path: Path
) -> None:
    deploy(bundles[0])
    aws.say(NAME, "one\ntwo")
    file = tmp_path / "deploy.toml"
    file.write_text(f'[sagemaker]\nregion = "{REGION}"\n', encoding="utf-8")
    words = ["logs", "--target", "sagemaker", "--name", NAME, "--config", str(file)]
    command = [sys.executable, "deploy.py", *words, "--lines", "1", "--follow"]
    paths = {name: tmp_path / name for name in ("out", "err")}
    with paths["out"].open("wb") as out, paths["err"].open("wb") as err:
        running = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)
        try:
            eventually(lambda: "two" in read_text(paths["out"]))
            aws.say(NAME, "three")
            eventually(lambda: "three" in read_text(paths["out"]))
        finally:
            running.send_signal(signal.SIGINT)
            code = running.wait(30)
    assert (code, read_text(paths["out"]), read_text(paths["err"])) == (0, "two\nthree\n", "")


def test_the_command_since_a_time(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    put("AllTraffic/i-0", (0, "noon"), (60, "a minute later"))
    words = ["logs", "--target", "sagemaker", "--name", NAME, "--set", f"region={REGION}"]
    since = ["--since", "2026-11-26T12:01:00Z", "--output", "json"]
    done = CliRunner().invoke(cli, [*words, *since])
    assert json.loads(done.stdout) == {"lines": ["a minute later"]}
    refused = CliRunner().invoke(cli, [*words, "--since", "yesterday"])
    assert refused.exit_code == 2
    assert "expected how long ago" in refused.output
