"""Batches of the tests: files of a user's in a datastore, and the steps of the command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from onnxferry.infra.azureml.batch.cloud import AzureMLJobs, connect
from onnxferry.infra.azureml.batch.desired import FILE
from onnxferry.infra.batch_check import Sample
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.jobs import BatchJobs, BatchRequest, JobStatus
from onnxferry.infra.plan import Plan
from onnxferry.infra.waiting import Clock
from onnxferry.scripts.package.contract import Member
from onnxferry.system.hashes import sha256
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.blob import Blob
from tests.infra.azureml.conftest import NAME, QUICK, config

STORE = "azureml://datastores/workspaceblobstore/paths"
ASKED = BatchRequest(f"{STORE}/in/", f"{STORE}/out/")
ITEM = json.dumps(tiny.QUESTION)
GOOD = f"{ITEM}\n{ITEM}\n"
SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from onnxferry.scoring import Request, load
from onnxferry.scoring.rows.batch_form import BATCH, is_refused

def init():
    global scorer
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    scorer = load(next(p.parent for p in sorted(root.rglob("model_spec.json"))))

def run(mini_batch):
    rows = []
    for path in mini_batch:
        request = Request(Path(path).read_bytes(), "application/jsonlines", "application/jsonlines")
        for i, line in enumerate(scorer.handle(request, BATCH).body.splitlines()):
            answer = json.loads(line)
            said = {"answer": None, **answer} if is_refused(answer) else {"answer": answer}
            rows.append(json.dumps({"file": path, "row": i + 1, "error": None, **said}))
    return rows
"""


def with_batch(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle with the files that a batch needs, where its package has none yet."""
    if (bundle.package.path / FILE).exists():
        return bundle
    shutil.copytree(bundle.package.path, folder)
    settings: dict[str, Any] = {
        "mini_batch_size": 1,
        "max_concurrency_per_instance": 1,
        "error_threshold": -1,
    }
    settings |= {"output_action": "append_row", "output_file_name": "answers.jsonl"}
    retries = {"max_retries": 1, "timeout": 300}
    declared: dict[str, Any] = {
        "type": "model",
        "code_configuration": {"code": "./code", "scoring_script": "batch.py"},
        "environment": {
            "image": "mcr.microsoft.com/azureml/openmpi",
            "conda_file": "batch-env.yml",
        },
        "settings": {**settings, "retry_settings": retries},
    }
    (folder / FILE).write_text(yaml.safe_dump(declared))
    (folder / "batch-env.yml").write_text(yaml.safe_dump({"dependencies": ["python=3.12"]}))
    script = folder / "code" / "batch.py"
    script.write_text(SCRIPT)
    added = Member("code/batch.py", script.stat().st_size, sha256(script))
    members = (*bundle.package.members, added)
    return replace(bundle, package=replace(bundle.package, path=folder, members=members))


def lean(bundle: Bundle) -> Bundle:
    """With the entry script alone as code, for flows whose jobs the fake itself does."""
    members = bundle.package.members
    scripts = ("code/batch.py", "code/score.py")
    few = tuple(m for m in members if m.path.startswith("model/") or m.path in scripts)
    return replace(bundle, package=replace(bundle.package, members=few))


def jobs_of(clock: Clock = QUICK, **settings: Any) -> AzureMLJobs:
    made = connect(config(**settings), NAME, clock)
    _: BatchJobs = made  # all that the command asks of one
    return made


def put(azure: AzureFake, files: Mapping[str, str | bytes], folder: str = "in") -> None:
    """Files of the user's."""
    for name, text in files.items():
        data = text.encode() if isinstance(text, str) else text
        blobs(azure)[f"{folder}/{name}"] = Blob(data)


def blobs(azure: AzureFake) -> dict[str, Blob]:
    return azure.blobs.accounts["wsstore"]["azureml-blobstore"]


def answers(azure: AzureFake, name: str) -> list[Any]:
    """The lines of an answer file."""
    body = blobs(azure)[f"out/{name}.out"].data or b""
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def begin(
    bundle: Bundle, asked: BatchRequest = ASKED, made: AzureMLJobs | None = None
) -> tuple[AzureMLJobs, Plan]:
    """As the command does it, up to a job that is at work."""
    made = made or jobs_of()
    consent = Consent(yes=True, terminal=False)
    planned = execute(lambda: made.plan_batch(bundle, asked, Sample()), made, consent, force=True)
    return made, planned


def followed(made: AzureMLJobs, plan: Plan, asked: BatchRequest = ASKED) -> JobStatus:
    name = plan.steps[-1].name
    while (status := made.job(name, asked)).running:
        pass
    status = made.collected(status, asked, lambda text: None)
    made.finish(asked)
    return status


def run(bundle: Bundle, asked: BatchRequest = ASKED, made: AzureMLJobs | None = None) -> JobStatus:
    made, plan = begin(bundle, asked, made)
    if plan.steps:
        return followed(made, plan, asked)
    made.finish(asked)
    done = len(made.dataset(asked).done)
    return JobStatus("", "nothing was missing", running=False, done=done, total=done)


Bundles = dict[str, Bundle]
Make = Callable[..., Any]
