"""The pipeline as a workflow of GitHub Actions. A pull request is built, rehearsed and planned; the
branch is deployed, once somebody has approved the environment; a roll-back is started by hand.

Each job has the permissions of its own steps alone. What writes to the pull request does not sign
in, and what signs in does not write there. Requests from forks are built, and not planned: they get
no token.
"""

from __future__ import annotations

import re
from typing import Any

from onnxferry.infra.ci import jobs
from onnxferry.infra.ci.comments import comment
from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.ci.sign_in import github as sign_in
from onnxferry.infra.ci.yaml_text import yaml_text

ACTIONS = {  # by the commits that their releases are
    "actions/checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "actions/setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "actions/upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "actions/download-artifact": ("3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "aws-actions/configure-aws-credentials": ("e6de054238d6b7531b4efff3b6587d9aade6a06c", "v6.2.3"),
    "azure/login": ("f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca", "v3.0.1"),
}
_RUNNER = "ubuntu-24.04"
_REQUEST = "github.event_name == 'pull_request'"
_OURS = "github.event.pull_request.head.repo.full_name == github.repository"
_BACK = "github.event_name == 'workflow_dispatch' && inputs.action == 'rollback'"
_READ, _SIGN_IN = {"contents": "read"}, {"contents": "read", "id-token": "write"}
Job = dict[str, Any]


def workflow(pipeline: DeliveryPipeline, head: str) -> str:
    """The text of the workflow's file, below the comment `head`."""
    branch = pipeline.branch
    action = {"type": "choice", "options": ["deploy", "rollback"], "default": "deploy"}
    made = {
        "name": pipeline.title,
        "on": {
            "pull_request": {"branches": [branch]},
            "push": {"branches": [branch]},
            "workflow_dispatch": {"inputs": {"action": action}},
        },
        "permissions": {},
        "defaults": {"run": {"shell": "bash"}},
        "jobs": {
            "build": _build(pipeline),
            "plan": _plan(pipeline),
            "comment": _comment(pipeline),
            "deploy": _deploy(pipeline),
            "rollback": _roll_back(pipeline),
        },
    }
    text = re.sub(r"(uses: (\S+)@\w{40})", _release, yaml_text(made, head))
    return text.replace("\n'on':\n", "\non:\n")


def _release(found: re.Match[str]) -> str:
    """The release beside its commit."""
    return f"{found[1]} # {ACTIONS[found[2]][1]}"


def uses(action: str, **given: Any) -> Job:
    """The step of an action, at its commit."""
    made = {"uses": f"{action}@{ACTIONS[action][0]}"}
    return {**made, "with": {k.replace("_", "-"): v for k, v in given.items()}} if given else made


def _build(pipeline: DeliveryPipeline) -> Job:
    kept = {"name": jobs.BUILD, "path": jobs.BUILD, "if_no_files_found": "error"}
    prepare = "Prepare the model within its gate, and package it"
    steps = [
        _run(prepare if pipeline.prepares else "Package the model", jobs.package(pipeline)),
        _run("Rehearse it in the platform's own runtime", jobs.rehearse(pipeline)),
        uses("actions/upload-artifact", **kept, retention_days=30),  # as long as an approval waits
    ]
    steps = [*_start(pipeline, fetch=False, build=True), *steps]
    return {"if": f"!({_BACK})", **_job(_READ, 60, steps)}


def _plan(pipeline: DeliveryPipeline) -> Job:
    shown = f'cat {jobs.PLAN} >> "$GITHUB_STEP_SUMMARY"'
    planned = jobs.plan(pipeline, shown)
    steps = [
        *_start(pipeline),
        *sign_in(pipeline, "reader", uses),
        _run("Plan", planned),
        uses("actions/upload-artifact", name="plan", path=jobs.PLAN),
    ]
    when = {"needs": "build", "if": f"github.event_name != 'pull_request' || {_OURS}"}
    environment = {"environment": pipeline.environments["reader"]}
    return {**when, **environment, **_job(_SIGN_IN, 30, steps)}


def _comment(pipeline: DeliveryPipeline) -> Job:
    given = {"TOKEN": "${{ github.token }}", "NUMBER": "${{ github.event.pull_request.number }}"}
    steps = [
        uses("actions/download-artifact", name="plan"),
        {**_run("Show the plan in the pull request", comment(pipeline)), "env": given},
    ]
    return {"needs": "plan", "if": _REQUEST, **_job({"pull-requests": "write"}, 5, steps)}


def _deploy(pipeline: DeliveryPipeline) -> Job:
    steps = [
        *_start(pipeline),
        *sign_in(pipeline, "deployer", uses),
        _run("Deploy", jobs.deploy(pipeline)),
    ]
    live = f"github.event_name != 'pull_request' && github.ref == 'refs/heads/{pipeline.branch}'"
    when = {"needs": ["build", "plan"], "if": live}
    return {**when, **_live(pipeline), **_job(_SIGN_IN, pipeline.seconds // 60, steps)}


def _roll_back(pipeline: DeliveryPipeline) -> Job:
    steps = [
        *_start(pipeline, fetch=False),
        *sign_in(pipeline, "deployer", uses),
        _run("Put the version before back", jobs.roll_back(pipeline)),
    ]
    when = {"if": f"{_BACK} && github.ref == 'refs/heads/{pipeline.branch}'"}
    return {**when, **_live(pipeline), **_job(_SIGN_IN, pipeline.seconds // 60, steps)}


def _live(pipeline: DeliveryPipeline) -> Job:
    """Of what changes what is live: by approval, and one after the other."""
    group = {"group": pipeline.title, "cancel-in-progress": False}
    return {"environment": pipeline.environments["deployer"], "concurrency": group}


def _start(pipeline: DeliveryPipeline, *, fetch: bool = True, build: bool = False) -> list[Job]:
    """The repository, Python and this project; and what the first job made, to `fetch`."""
    made = uses("actions/download-artifact", name=jobs.BUILD, path=jobs.BUILD)
    return [
        uses("actions/checkout", persist_credentials=False),
        uses("actions/setup-python", python_version=pipeline.python),
        _run("Install onnxferry", jobs.install(pipeline, build=build)),
        *([made] if fetch else []),
    ]


def _run(name: str, text: str) -> Job:
    return {"name": name, "run": text}


def _job(permissions: dict[str, str], minutes: int, steps: list[Job]) -> Job:
    held = {"permissions": dict(permissions), "timeout-minutes": minutes}
    return {"runs-on": _RUNNER, **held, "steps": steps}
