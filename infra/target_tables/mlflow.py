"""The table of MLflow."""

from __future__ import annotations

from typing import Literal

import pydantic
from pydantic import Field

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import tag_rules as tagging
from onnxferry.infra.target_tables.table import TargetTable


class MLflow(TargetTable):
    """MLflow, a registered model in a tracking server's registry. Sign in by MLFLOW_TRACKING_TOKEN,
    or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or as Databricks' tools do."""

    rules, tag_rules = variables.MLFLOW, tagging.MLFLOW
    tracking_uri: str | None = None
    """Tracking server, like https://mlflow.example.com, databricks, azureml://... or
    sqlite:////srv/mlflow.db; default: MLFLOW_TRACKING_URI, else an SQLite file of the user's data
    folder."""
    registry_uri: str | None = None
    """Model registry, like databricks-uc; default: MLFLOW_REGISTRY_URI, else that of the tracking
    server."""
    experiment: str = Field("onnxferry", min_length=1, max_length=500)
    """Experiment that models are logged in; made when it is absent."""
    artifact_location: str | None = None
    """Where a new experiment keeps its files; default: as the server says, for SQLite beside it."""
    catalog_schema: str | None = Field(None, pattern=r"^[^./ ]+\.[^./ ]+$")
    """CATALOG.SCHEMA of the registered model, for databricks-uc."""
    deploy_to: Literal["registry", "sagemaker", "azureml"] = "registry"
    """Where the registered model is served: nowhere, or on an endpoint at SageMaker or AzureML with
    the settings of their tables; [sagemaker] then needs an image of MLflow's."""

    @property
    def package_image(self) -> str:
        """The image that the package is for, as packages name it."""
        return "azureml" if self.deploy_to == "azureml" else ""

    @pydantic.field_validator("tracking_uri", "registry_uri")
    @classmethod
    def _without_password(cls, given: str | None) -> str | None:
        return variables.without_password(given)

    @pydantic.model_validator(mode="after")
    def _three_levels(self) -> MLflow:
        registry = self.registry_uri or ""
        if registry.startswith("databricks-uc") and not self.catalog_schema:
            raise variables.problem(f"registry_uri {registry} needs catalog_schema, like main.ml")
        return self
