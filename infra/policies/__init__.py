"""Policies and roles with the fewest permissions, a file for each target and role: JSON for the
clouds' own command lines. They are made from the calls of the flows: python -m tests.infra.policies

docs/deploy/permissions.md says how they are used.
"""

from __future__ import annotations

from collections.abc import Mapping

ROLES = ("deployer", "reader")  # who changes things; who only looks, and asks the endpoint

_AWS = {
    "cloudformation:ListStacks": "`list` shows no stacks of templates",
    "cloudwatch:DescribeAlarmHistory": "which alarm rolled an update back is not said",
    "cloudwatch:GetMetricStatistics": (
        "`status` does not tell the last hour's requests, nor `compare` requests and latency"
    ),
    "iam:ListAttachedRolePolicies": "a role to which you attached policies is not told beforehand",
    "iam:ListRoles": "`list` shows no roles",
    "logs:DescribeLogGroups": "log groups are not shown, and stay when the endpoint is deleted",
    "logs:DescribeLogStreams": "`logs` and failures say that the log cannot be read",
    "logs:FilterLogEvents": "`logs --follow` and `logs --since` say that the log cannot be read",
    "logs:GetLogEvents": "`logs` and failures say that the log cannot be read",
    "s3:GetEncryptionConfiguration": "the role is given no right to a KMS key of the bucket",
    "s3:ListBucketMultipartUploads": "unfinished uploads are not found, and stay",
    "s3:ListBucketVersions": "old versions of objects are not found, and stay",
    "servicequotas:ListServiceQuotas": "the quota is not checked before anything is made",
}
_LOOKS = {  # who deploys with alarms or [sagemaker.scaling], or runs `batch`, needs them
    "sagemaker:ListTransformJobs": "batch jobs that are at work are not seen",
    "cloudwatch:DescribeAlarms": "alarms are not shown",
    **{
        f"application-autoscaling:{action}": "whether the endpoint is autoscaled is not shown"
        for action in (
            "DescribeScalableTargets",
            "DescribeScalingPolicies",
            "DescribeScheduledActions",
            "ListTagsForResource",
        )
    },
}
_ML_SIZES = "Microsoft.MachineLearningServices/locations/vmSizes/read"
_IDENTITY = (
    "Microsoft.ManagedIdentity/userAssignedIdentities/read",
    "Microsoft.Authorization/roleAssignments/read",
    "Microsoft.Authorization/roleDefinitions/read",
)
_AZUREML = {
    _ML_SIZES: "the quota is not checked before anything is made",
    **dict.fromkeys(_IDENTITY, "what a given identity may do is not known"),
}
_LOGS = "Microsoft.OperationalInsights/workspaces/query"
_QUERIES = (f"{_LOGS}/read", f"{_LOGS}/AppExceptions/read", f"{_LOGS}/AppTraces/read")
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"

# What may be left out: role of a target -> action -> what does not work without it. A command that
# lacks it does the rest, and says so in one line.
OPTIONAL: Mapping[str, Mapping[str, str]] = {
    "sagemaker-deployer": _AWS,
    "sagemaker-reader": {**_AWS, **_LOOKS},
    "azureml-deployer": {
        **_AZUREML,
        "Microsoft.KeyVault/locations/deletedVaults/read": (
            "`template` does not know whether a key vault has to be recovered"
        ),
    },
    "azureml-reader": {
        **_AZUREML,
        "Microsoft.Insights/autoscalesettings/read": "it is not known how deployments are scaled",
    },
    "functions-deployer": {},
    "functions-reader": {
        **dict.fromkeys(_QUERIES, "`logs` has nothing that functions printed"),
        "Microsoft.Web/sites/publish/Action": "`logs` has nothing of how packages were published",
        f"{_BLOBS}/read": "which packages are stored is not known",
        "Microsoft.Web/sites/host/listkeys/action": (
            "`invoke` works only where callers sign in, and `logs` does not have the host's state"
        ),
    },
}
# The roles of Azure's own that together cover the files of a target, for each role, and for
# commands that have files of their own.
BUILT_IN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "azureml": {
        "deployer": (
            "AzureML Data Scientist",
            "Managed Identity Operator",
            "Monitoring Contributor",
            "Reader",
            "Storage Blob Data Contributor",
        ),
        "deployer-template": (
            "Contributor",
            "Role Based Access Control Administrator",
            "Storage Blob Data Contributor",
        ),
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
