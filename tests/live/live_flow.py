"""Deploy, deploy again, ask, deploy another version, go back, look, delete: what any account must
stand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from onnxferry import cli, scoring
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from tests import tiny

ROOT = Path(__file__).parents[2]
QUESTION = {"inputs": tiny.QUESTION}


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output, which must be nothing but JSON, of a command that succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Command = Callable[..., Said]


def in_a_process(*words: str) -> Said:
    """Run deploy.py as a user does."""
    done = subprocess.run(
        [sys.executable, "deploy.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        input="",
    )
    return Said(done.returncode, done.stdout, done.stderr)


def in_this_process(*words: str) -> Said:
    """The same in this process, where a test has changed how long is waited."""
    done = CliRunner().invoke(cli.cli, words)
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def versions(folder: Path) -> tuple[Path, Path]:
    """Two tiny model directories of one model, whose answers to QUESTION differ."""
    return _version(folder / "first", "rebecca"), _version(folder / "second", "dolly")


def _version(folder: Path, word: str) -> Path:
    tiny.question_answering(folder)
    tiny.span_graph(folder / "model.onnx", {word: (4, 4)})
    request = Request(json.dumps(QUESTION).encode())
    golden = Golden(request, json.loads(scoring.load(folder).handle(request).body))
    return tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=golden))


MODES = {  # as --set has them
    "variants": ('serving.variants={"second": {"instance_type": "ml.m5.large"}}',),
    "serverless": ("serving.mode=serverless", "serving.max_concurrency=2"),
    "async": ("serving.mode=async",),
    "scaling": ("scaling.max=2", "scaling.target=60"),
    "canary": ("rollout.traffic=canary", "rollout.step_percent=20", "rollout.wait_seconds=60"),
}


def in_mode(mode: str, command: Command) -> Command:
    """`command` where the endpoint serves so, or is changed so."""
    given = [word for setting in MODES[mode] for word in ("--set", setting)]

    def run(action: str, *words: str) -> Said:
        queued = ("--async",) if (mode, action) == ("async", "invoke") else ()
        return command(action, *words, *given, *queued)

    return run


def live_flow(command: Command, folder: Path, *, keyed: bool = False) -> None:
    """The whole way with `command("deploy", ...)`, which knows target, name and settings; with new
    keys where there are some; deletes at its end."""
    models = versions(folder)
    question = folder / "question.json"
    question.write_text(json.dumps(QUESTION), encoding="utf-8")
    try:
        _before(command)
        _serve(command, models, question)
        if keyed:
            _renewed(command, models[1], question)
    finally:
        gone = command("delete", "--yes", "--output", "json")
    assert gone.data["deleted"]
    assert command("status", "--output", "json").data["state"] == "absent"
    again = command("delete", "--output", "json")
    assert (again.data, "nothing to do" in again.err) == ({"deleted": []}, True)


def mirror_flow(command: Command, folder: Path) -> None:
    """A new version gets a copy of the requests first, is compared, and then takes over; deletes at
    its end."""
    first, second = (("--model", str(m), "--output", "json") for m in versions(folder))
    capture = ("--set", "capture.percent=100")
    try:
        one = command("deploy", *first, *capture).data["version"]
        shadowed = command("deploy", *second, *capture, "--set", "rollout.mirror=20")
        assert shadowed.data["version"] == one
        for _ in range(10):
            assert command("invoke", "--text", "hello", "--output", "json").out
        compared = command("compare", *capture, "--set", "rollout.mirror=20", "--output", "json")
        assert compared.code in (0, 1), compared.err  # what was captured may come later
        assert command("deploy", *second, *capture).data["previous"] == one
    finally:
        gone = command("delete", "--yes", "--output", "json")
    assert gone.data["deleted"]


def template_flow(command: Command, folder: Path) -> None:
    """A template first: the deployment then makes only what the package changes, and the template
    nothing more; deletes at its end."""
    model, _ = versions(folder)
    known = ("--model", str(model), "--output", "json")
    try:
        assert command("template", "--what-if", *known).data["steps"]
        made = command("template", "--deploy", "--yes", *known).data["deployed"]
        assert {action for action, _, _ in made} <= {"create", "update"}
        planned = command("plan", *known).data["steps"]
        created = {step["resource"] for step in planned if step["action"] == "create"}
        assert created == {"package"}
        version = command("deploy", *known).data["version"]
        again = command("template", "--what-if", *known).data["steps"]
        assert {step["action"] for step in again} == {"reuse"}
        assert command("status", "--output", "json").data["version"] == version
    finally:
        gone = command("delete", "--yes", "--output", "json")
    assert gone.data["deleted"]


def _before(command: Command) -> None:
    """Nothing is there: each action says so."""
    assert command("status", "--output", "json").data["state"] == "absent"
    for words in (("invoke", "--text", "hello"), ("logs",), ("rollback",)):
        said = command(*words)
        assert (said.code, said.out) == (1, ""), said
        assert said.err.startswith("error: "), said.err


def _serve(command: Command, models: tuple[Path, Path], question: Path) -> None:
    first, second = (("--model", str(model), "--output", "json") for model in models)
    assert command("drift", *first).code == 2  # nothing is there yet
    one = command("deploy", *first).data
    assert (bool(one["version"]), one["previous"]) == (True, "")
    _asked(command, models[0], question)
    again = command("deploy", *first)
    assert again.data["version"] == one["version"]
    assert "nothing to do" in again.err
    assert (command("drift", *first).code, command("drift", *second).code) == (0, 2)
    listed = command("list", "--output", "json").data["resources"]
    assert one["version"] in {thing["version"] for thing in listed}
    unproved = command("delete", "--unproved", "--yes", "--output", "json")
    assert unproved.data == {"deleted": []}

    two = command("deploy", *second).data
    assert two["previous"] == one["version"]
    _asked(command, models[1], question)

    back = command("rollback", "--output", "json").data
    assert (back["version"], back["previous"]) == (one["version"], two["version"])
    _asked(command, models[0], question)
    status = command("status", "--output", "json").data
    assert (status["version"], status["previous"]) == (one["version"], two["version"])
    assert command("logs", "--output", "json").data["lines"]
    forth = command("rollback", "--output", "json").data
    assert (forth["version"], forth["previous"]) == (two["version"], one["version"])
    _asked(command, models[1], question)

    refused = command("delete")
    assert refused.code == 2
    assert "give --yes" in refused.err
    _asked(command, models[1], question)


def _renewed(command: Command, model: Path, question: Path) -> None:
    """Both keys are renewed, one after the other, and the endpoint answers all the time."""
    known = [_keys(command)]
    for kind in ("secondary", "primary"):
        refused = command("keys", "--rotate", kind)
        assert (refused.code, "give --yes" in refused.err) == (2, True), refused.err
        done = command("keys", "--rotate", kind, "--yes", "--show", kind)
        assert (done.code, len(done.out.split())) == (0, 1), done.err
        known.append(_keys(command))
        _asked(command, model, question)
    assert not known[0] & known[2]


def _keys(command: Command) -> set[str]:
    found = command("keys", "--output", "json").data["keys"]
    return {key["fingerprint"] for key in found}


def _asked(command: Command, model: Path, question: Path) -> None:
    """The endpoint answers as `model` does."""
    golden = ModelSpec.read(model).golden
    reply = command("invoke", "--input", str(question), "--output", "json").data
    assert golden
    assert (reply["status"], reply["answer"]["answer"]) == (200, golden.answer["answer"])
