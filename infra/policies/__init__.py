"""Policies and roles with the fewest permissions, a file for each target and role: JSON for the
clouds' own command lines. They are made from the calls of the flows: python -m tests.infra.policies

docs/deploy/permissions.md says how they are used.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLES = ("deployer", "reader")  # who changes things; who only looks, and asks the endpoint

# What may be left out: role of a target -> action -> what does not work without it. Those of the
# reader hold for the deployer too, unless that needs them for more.
OPTIONAL: Mapping[str, Mapping[str, str]] = {
    "sagemaker-reader": {
        "sagemaker:InvokeEndpoint": "`invoke`",
        "logs:DescribeLogStreams": "`logs`",
        "logs:GetLogEvents": "`logs`",
    },
    "sagemaker-deployer": {},
    "azureml-reader": {},
    "azureml-deployer": {},
    "functions-reader": {},
    "functions-deployer": {},
}
