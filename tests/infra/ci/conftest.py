"""The account of SageMaker's tests."""

from __future__ import annotations

from tests.infra.sagemaker.conftest import aws, server

__all__ = ["aws", "server"]
