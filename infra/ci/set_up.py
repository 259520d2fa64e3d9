"""SETUP.md beside a pipeline: what is done once, before it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from onnxferry.infra.ci import aws
from onnxferry.infra.ci.delivery import DeliveryPipeline


def text(pipeline: DeliveryPipeline, file: str, cloud: str) -> str:
    """The page; `cloud` is its part of the cloud."""
    said = f"""\
# Before the pipeline {pipeline.title} runs

Once, from the root of the repository, before `{file}` is merged: **without the protection of the
environment `{pipeline.environments["deployer"]}` nobody is asked before a deployment.**
"""
    provider = _PROVIDERS[pipeline.provider](pipeline, file)
    first = (provider, cloud) if pipeline.provider == "azure-devops" else (cloud, provider)
    return "\n".join((said, *first))


def _github(pipeline: DeliveryPipeline, file: str) -> str:
    repository = re.sub(r"@\d+", "", pipeline.repository)
    plan, live = pipeline.environments["reader"], pipeline.environments["deployer"]
    api = f"repos/{repository}/environments"
    policy = "deployment_branch_policy"
    return f"""\
## GitHub

Two environments: one for plans, and one that somebody must approve, for {pipeline.branch} alone.
In the place of `octocat`, name who approves.

```bash
gh api --method PUT {api}/{plan}
gh api --method PUT {api}/{live} \\
    -F 'reviewers[][type]=User' -F "reviewers[][id]=$(gh api users/octocat --jq .id)" \\
    -F '{policy}[protected_branches]=false' -F '{policy}[custom_branch_policies]=true'
gh api --method POST {api}/{live}/deployment-branch-policies -f name={pipeline.branch}
```

GitHub's tokens name a repository that was made, renamed or transferred since July 2026 by its ids,
and others where that was chosen. This says how:

```bash
gh api repos/{repository} --jq '"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)"'
```

Where it does, write the pipeline with that as `--repository`; the cloud refuses the sign-in
otherwise. To roll back: `gh workflow run {file.rpartition("/")[2]} -f action=rollback`.
"""


def _azure_devops(pipeline: DeliveryPipeline, file: str) -> str:
    plan, live = pipeline.environments["reader"], pipeline.environments["deployer"]
    return f"""\
## Azure DevOps

{_CONNECTIONS[pipeline.target == "sagemaker"](pipeline)}
In the project:

- Environments: make `{live}`, with the checks Approvals (who approves), Branch control
  (`refs/heads/{pipeline.branch}`) and Exclusive lock.
- The service connection `{live}`: the check Branch control, too. Grant `{plan}` and
  `{live}` to this pipeline alone.
- Pipelines: make one of `{file}`. With Azure Repos, make it a build validation of
  `{pipeline.branch}`, so that requests are planned, and let the build service "Contribute to pull
  requests", so that it can show the plan there.

To roll back, run the pipeline with the parameter action = rollback.
"""


def _to_aws(pipeline: DeliveryPipeline) -> str:
    rows = "".join(
        f"| `{pipeline.environments[role]}` | `{aws.role_arn(pipeline, role)}` |\n"
        for role in ("reader", "deployer")
    )
    return f"""\
Install the extension "AWS Toolkit for Azure DevOps" (1.15 or newer), and make two service
connections of the type AWS, each with "Use OIDC" and no keys:

| service connection | role to assume |
| --- | --- |
{rows}
The organization's id, `{pipeline.organization}`, is in the list of organizations that Organization
settings, Microsoft Entra, Download gives.
"""


def _to_azure(pipeline: DeliveryPipeline) -> str:
    plan, live = pipeline.environments["reader"], pipeline.environments["deployer"]
    return f"""\
First make two service connections of the type Azure Resource Manager by workload identity
federation, `{plan}` and `{live}`. Each makes an application, whose id the commands below need.
"""


_CONNECTIONS: Mapping[bool, Callable[[DeliveryPipeline], str]] = {True: _to_aws, False: _to_azure}
_PROVIDERS: Mapping[str, Callable[[DeliveryPipeline, str], str]] = {
    "github": _github,
    "azure-devops": _azure_devops,
}
