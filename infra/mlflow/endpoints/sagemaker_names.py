"""Names of what mlflow.deployments makes at SageMaker for an endpoint.

It names a model NAME-model-X and a configuration NAME-config-X, X being 20 random digits, and puts
the archive at s3://BUCKET/MODEL/model.tar.gz. Here X is 12 digits of the package's hash and 8 of
the settings', so that a second attempt finds what the first has made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from onnxferry.infra.mlflow.endpoints.specs import MARK
from onnxferry.infra.sagemaker.names import Names, digest
from onnxferry.system.errors import UsageError

APP_TAG = "app_name"  # the one tag that mlflow.deployments gives a configuration
_DIGITS = 20
_LONGEST = 63 - len("-config-") - _DIGITS  # mlflow.deployments cuts longer names


@dataclass(frozen=True)
class MlflowNames(Names):
    """Of what belongs to an endpoint that mlflow.deployments makes."""

    package_digits: ClassVar[int] = _DIGITS
    archives_marked: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raises UsageError for a name that would be cut."""
        if len(self.candidate) > _LONGEST:
            most = _LONGEST - len(self.candidate) + len(self.endpoint)
            raise UsageError(
                f"endpoint {self.endpoint}: mlflow.deployments keeps names of at most {most}"
                " characters whole; give a shorter --name, or name in [model] of deploy.toml"
            )

    @property
    def made(self) -> str:
        """See Names."""
        return f"{MARK}{self.endpoint}"

    @property
    def role(self) -> str:
        """Of its own, beside that of an endpoint of target sagemaker."""
        return f"onnxferry-mlflow-{self.endpoint}-{self.region}"

    @property
    def prefix(self) -> str:
        """Of the lease."""
        return f"{self.settings.prefix}/mlflow/{self.endpoint}/"

    @property
    def package_folders(self) -> tuple[str, ...]:
        """See Names: the archive's place is the model's name."""
        return (f"{self.endpoint}-model-", f"{self.candidate}-model-")

    @property
    def package_place(self) -> str:
        """See Names."""
        return rf"{self.endpoint}(?:-candidate)?-model-"

    def version_of(self, name: str) -> str:
        """The version in the name of a model or a configuration; "" for another."""
        return self.package_of(name)[:12]

    def package_of(self, name: str) -> str:
        """Each model has a package of its own."""
        kinds = r"(?:-candidate)?-(?:model|config)-"
        pattern = rf"{re.escape(self.endpoint)}{kinds}([0-9a-f]{{{_DIGITS}}})"
        found = re.fullmatch(pattern, name)
        return found[1] if found else ""


def suffix(version: str, content: Any) -> str:
    """What the names of `version` with these settings end with."""
    return f"{version}{digest(content)}"
