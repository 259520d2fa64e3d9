"""Statements of IAM policies."""

from __future__ import annotations

from typing import Any

from onnxferry.infra.sagemaker.names import Names


def allow(resource: str | list[str], service: str, actions: str) -> dict[str, Any]:
    """A statement of a policy; `actions` are words."""
    allowed = [f"{service}:{action}" for action in actions.split()]
    return {"Effect": "Allow", "Action": allowed, "Resource": resource}


def use_of_key(names: Names, key: str, actions: str = "Decrypt") -> dict[str, Any]:
    """A statement about a KMS key. A policy names it by its ARN; one that is known by its alias, by
    a condition."""
    alias = key.rpartition(":")[2]
    if not alias.startswith("alias/"):
        arn = key if key.startswith("arn:") else names.arn("kms", f"key/{key}")
        return allow(arn, "kms", actions)
    named = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}
    return {**allow(names.arn("kms", "key/*"), "kms", actions), "Condition": named}
