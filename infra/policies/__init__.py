"""Policies and roles with the fewest permissions, a file for each target and role: JSON for the
clouds' own command lines. They are made from the calls of the flows: python -m tests.infra.policies

docs/deploy/permissions.md says how they are used.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLES = ("deployer", "reader")  # who changes things; who only looks, and asks the endpoint

# What may be left out: role of a target -> action -> what does not work without it. A command that
# lacks it does the rest, and says so in one line.
OPTIONAL: Mapping[str, Mapping[str, str]] = {
    "sagemaker-deployer": {},
    "sagemaker-reader": {},
    "azureml-deployer": {},
    "azureml-reader": {},
    "functions-deployer": {},
    "functions-reader": {},
}
# The roles of Azure's own that together cover the files of a target, for each role.
BUILT_IN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "azureml": {
        "deployer": ("AzureML Data Scientist", "Reader", "Storage Blob Data Contributor"),
        "reader": ("AzureML Data Scientist", "Reader", "Storage Blob Data Reader"),
    },
    "functions": {
        "deployer": (
            "Contributor",
            "Role Based Access Control Administrator",
            "Storage Blob Data Contributor",
        ),
        "reader": ("Reader", "Website Contributor", "Storage Blob Data Reader"),
    },
}
