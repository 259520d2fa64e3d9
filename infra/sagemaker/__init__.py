"""SageMaker: a real-time endpoint, its configuration and model, its package in S3 and its role.

An update creates NAME-candidate with the new configuration, asks it the golden request, points NAME
to that configuration (SageMaker's own blue/green) and asks again.
"""

from __future__ import annotations

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.waiting import Clock

__all__ = ["connect"]


def connect(config: DeployConfig, name: str, clock: Clock = Clock()) -> SageMakerCloud:
    """The endpoint `name`; sends nothing yet. Raises NoCredentials or UsageError."""
    settings = config.sagemaker or SageMaker()
    return SageMakerCloud(AwsClients(settings.profile, settings.region), settings, name, clock)
