"""The table of each target in deploy.toml: its keys, their meaning, defaults and rules."""

from __future__ import annotations

from onnxferry.infra.target_tables.azure import Functions
from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.infra.target_tables.mlflow import MLflow
from onnxferry.infra.target_tables.sagemaker import SageMaker
from onnxferry.infra.target_tables.table import Table

__all__ = ["AzureML", "Functions", "MLflow", "SageMaker", "Table"]
