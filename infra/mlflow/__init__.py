"""MLflow: a registered model in the registry of a tracking server, a version a package.

The package's files are logged in an experiment, as they are. The registered model has the
endpoint's name; alias `challenger` is on the version that is being proved, `champion` on the one
that those who load models:/NAME@champion get. Champion moves in one request, after the version has
been fetched from the registry, compared with the package, and has given the golden answers.

By configuration it goes on to an endpoint that serves it: endpoints/.
"""

from __future__ import annotations

from onnxferry.infra.mlflow.endpoints import connect

__all__ = ["connect"]
