"""What a pipeline is written for: which endpoint, which repository, who may do what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxferry.system.errors import UsageError

_GITHUB = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(@\d+)?/[\w.-]+(@\d+)?"
_AZURE = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w .-]*"
REPOSITORIES = {  # provider -> the form of a repository's name, and how to say it
    "github": (
        _GITHUB,
        "OWNER/NAME, or OWNER@ID/NAME@ID where GitHub's tokens name the repository by its ids",
    ),
    "azure-devops": (_AZURE, "ORGANIZATION/PROJECT"),
}
_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_IDS = "give both ids of --repository, of its owner and its own (OWNER@ID/NAME@ID), or neither"


@dataclass(frozen=True)
class DeliveryPipeline:
    """`settings` is the target's table of `config`, the path of deploy.toml in the repository;
    `model` the path of its model directory, which the pipeline prepares where `prepares`, and
    `image` the package's. `installs` is what pip installs in the job that prepares and rehearses,
    and in the others. `account` is the AWS account, `organization` the id of the Azure DevOps
    organization ("" where neither is needed).
    """

    provider: str
    target: str
    name: str
    repository: str
    settings: Any
    model: str
    prepares: bool
    python: str
    image: str = ""
    config: str = "deploy.toml"
    branch: str = "main"
    installs: tuple[str, str] = ("", "")
    account: str = ""
    organization: str = ""

    @property
    def title(self) -> str:
        """What it is called, in names of files, environments and connections."""
        return f"{self.name}-{self.target}"

    @property
    def environments(self) -> dict[str, str]:
        """By role: the environment of the jobs that may only look, and of those that deploy. On
        Azure DevOps also the service connections that they sign in by."""
        return {"reader": f"{self.title}-plan", "deployer": self.title}

    @property
    def seconds(self) -> int:
        """How long a sign-in holds: for the longest deployment that deploy.toml allows, with the
        waits of a roll-out in steps, and as long again for what its checks look at, which comes
        late."""
        rollout = getattr(self.settings, "rollout", None)
        steps = 2 * rollout.step_seconds if rollout else 0
        return min(12 * 3600, 3600 + int(120 * self.settings.wait_minutes) + steps)


def mistakes(pipeline: DeliveryPipeline, cloud: str) -> Iterator[str]:
    """What is wrong with what was given, and what was expected: a line each."""
    form, said = REPOSITORIES[pipeline.provider]
    if not (found := re.fullmatch(form, pipeline.repository)):
        yield f"--repository: expected {said}; got {pipeline.repository!r}"
    elif pipeline.provider == "github" and bool(found[1]) != bool(found[2]):
        yield f"{_IDS}; got {pipeline.repository!r}"
    if not re.fullmatch(r"[A-Za-z0-9][\w./-]*", pipeline.branch):
        yield f"--branch: expected a branch's name, like main; got {pipeline.branch!r}"
    if cloud == "aws":
        yield from _mistakes_on_aws(pipeline)
    for option, text in (("--config", pipeline.config), ("the model directory", pipeline.model)):
        if text.startswith(("/", "~", "..")) or "$" in text:
            yield f"{option}: expected a path inside the repository, without $; got {text!r}"
    for install in sorted({x for x in pipeline.installs if "$" in x or not x.isprintable()}):
        yield f"--install: expected what pip installs, on one line without $; got {install!r}"


def _mistakes_on_aws(pipeline: DeliveryPipeline) -> Iterator[str]:
    if not re.fullmatch(r"\d{12}", pipeline.account):
        yield f"--account: expected the AWS account's 12 digits; got {pipeline.account!r}"
    if pipeline.provider == "azure-devops" and not re.fullmatch(_GUID, pipeline.organization):
        where = "by which AWS knows the issuer of its tokens; SETUP.md says where it is shown"
        given = f"got {pipeline.organization!r}"
        yield f"--organization-id: expected the id of the organization (a GUID), {where}; {given}"
    if not pipeline.settings.region:
        yield f"sagemaker.region: needed in {pipeline.config}, since permissions name the region"
    if pipeline.settings.profile:
        said = "a pipeline has no profiles. Take it out, and set AWS_PROFILE where you need it"
        yield f"sagemaker.profile ({pipeline.config}): {said}; got {pipeline.settings.profile!r}"


def checked(pipeline: DeliveryPipeline, cloud: str) -> DeliveryPipeline:
    """`pipeline` itself. Raises UsageError with all mistakes."""
    if found := list(mistakes(pipeline, cloud)):
        lines = "".join(f"\n  {mistake}" for mistake in found)
        raise UsageError(f"no pipeline can be written of this:{lines}")
    return pipeline
