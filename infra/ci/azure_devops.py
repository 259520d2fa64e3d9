"""The pipeline as one of Azure Pipelines. A pull request is built, rehearsed and planned; the
branch is deployed, once somebody has approved the environment; a roll-back is started by hand.

Only tasks that are given a service connection sign in, and each runs a script of its own, which is
a file beside the pipeline: of the same form for AWS's task and for Azure's.
"""

from __future__ import annotations

from typing import Any

from onnxferry.infra.ci import jobs
from onnxferry.infra.ci.comments import comment
from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.ci.sign_in import azure_devops as signed_in
from onnxferry.infra.ci.yaml_text import yaml_text

_IMAGE = "ubuntu-24.04"
_BUILD = f"$(Build.SourcesDirectory)/{jobs.BUILD}"
_REQUEST = "eq(variables['Build.Reason'], 'PullRequest')"
_SUMMARY = f'echo "##vso[task.uploadsummary]$PWD/{jobs.PLAN}"'
_COMMENTED = f"and(succeeded(), {_REQUEST}, eq(variables['Build.Repository.Provider'], 'TfsGit'))"
_GIVEN = {  # of the comment's script
    "TOKEN": "$(System.AccessToken)",
    "NUMBER": "$(System.PullRequest.PullRequestId)",
    "COLLECTION": "$(System.CollectionUri)",
    "PROJECT": "$(System.TeamProjectId)",
    "REPOSITORY": "$(Build.Repository.ID)",
}
Part = dict[str, Any]


def scripts(pipeline: DeliveryPipeline) -> dict[str, str]:
    """What runs signed in, by the name of its file."""
    return {
        "plan.sh": jobs.plan(pipeline, _SUMMARY),
        "deploy.sh": jobs.deploy(pipeline),
        "rollback.sh": jobs.roll_back(pipeline),
    }


def definition(pipeline: DeliveryPipeline, head: str) -> str:
    """The text of the pipeline's file, below the comment `head`."""
    branches = {"branches": {"include": [pipeline.branch]}}
    values = ["deploy", "rollback"]
    action = {"name": "action", "type": "string", "default": "deploy", "values": values}
    made = {
        "name": f"{pipeline.title}-$(Date:yyyyMMdd)$(Rev:.r)",
        "parameters": [action],
        "trigger": branches,
        "pr": branches,
        "pool": {"vmImage": _IMAGE},
        "variables": {"aws.rolecredential.maxduration": str(pipeline.seconds)},
        "stages": [_build(pipeline), _plan(pipeline), _deploy(pipeline), _roll_back(pipeline)],
    }
    if pipeline.target != "sagemaker":
        made.pop("variables")
    return yaml_text(made, head)


def _build(pipeline: DeliveryPipeline) -> Part:
    prepare = "Prepare the model within its gate, and package it"
    steps = [
        *_start(pipeline, fetch=False, build=True),
        _bash(prepare if pipeline.prepares else "Package the model", jobs.package(pipeline)),
        _bash("Rehearse it in the platform's own runtime", jobs.rehearse(pipeline)),
        {"publish": jobs.BUILD, "artifact": jobs.BUILD},
    ]
    job = {"job": "build", "timeoutInMinutes": "60", "steps": steps}
    return {"stage": "build", "condition": _asked("deploy"), "jobs": [job]}


def _plan(pipeline: DeliveryPipeline) -> Part:
    shown = {**_bash("Show the plan in the pull request", comment(pipeline)), "env": dict(_GIVEN)}
    steps = [
        *_start(pipeline),
        signed_in(pipeline, "reader", "Plan", "plan.sh"),
        {**shown, "condition": _COMMENTED},
    ]
    job = {"job": "plan", "timeoutInMinutes": "30", "steps": steps}
    return {"stage": "plan", "dependsOn": "build", "jobs": [job]}


def _deploy(pipeline: DeliveryPipeline) -> Part:
    steps = [*_start(pipeline), signed_in(pipeline, "deployer", "Deploy", "deploy.sh")]
    when = f"and(succeeded(), {_asked('deploy')}, {_live(pipeline)})"
    stage = {"stage": "deploy", "dependsOn": ["build", "plan"], "condition": when}
    return {**stage, **_changes(pipeline, "deploy", steps)}


def _roll_back(pipeline: DeliveryPipeline) -> Part:
    task = signed_in(pipeline, "deployer", "Put the version before back", "rollback.sh")
    steps = [*_start(pipeline, fetch=False), task]
    when = f"and({_asked('rollback')}, {_live(pipeline)})"
    stage = {"stage": "rollback", "dependsOn": [], "condition": when}
    return {**stage, **_changes(pipeline, "rollback", steps)}


def _changes(pipeline: DeliveryPipeline, name: str, steps: list[Part]) -> Part:
    """Of what changes what is live: by approval, and one after the other."""
    job = {
        "deployment": name,
        "environment": pipeline.environments["deployer"],
        "timeoutInMinutes": str(pipeline.seconds // 60),
        "strategy": {"runOnce": {"deploy": {"steps": steps}}},
    }
    return {"lockBehavior": "sequential", "jobs": [job]}


def _live(pipeline: DeliveryPipeline) -> str:
    branch = f"eq(variables['Build.SourceBranch'], 'refs/heads/{pipeline.branch}')"
    return f"ne(variables['Build.Reason'], 'PullRequest'), {branch}"


def _asked(action: str) -> str:
    return f"eq('${{{{ parameters.action }}}}', '{action}')"


def _start(pipeline: DeliveryPipeline, *, fetch: bool = True, build: bool = False) -> list[Part]:
    """The repository, Python and this project; and what the first job made, to `fetch`."""
    made = {
        "task": "DownloadPipelineArtifact@2",
        "inputs": {"artifactName": jobs.BUILD, "targetPath": _BUILD},
    }
    return [
        {"checkout": "self", "persistCredentials": "false"},
        {"download": "none"},
        {"task": "UsePythonVersion@0", "inputs": {"versionSpec": pipeline.python}},
        _bash("Install onnxferry", jobs.install(pipeline, build=build)),
        *([made] if fetch else []),
    ]


def _bash(title: str, text: str) -> Part:
    return {"bash": text, "displayName": title}
