"""usage: mlflow_container.py MODEL_FOLDER PORT

Runs inside the host's environment: the entry of MLflow's container for SageMaker, which serves the
model in /opt/ml/model on port 8000, here in a folder and on a port of its own. In the container
nginx hands it what comes to port 8080.
"""

from __future__ import annotations

import sys

from mlflow.models import container

if __name__ == "__main__":
    container.MODEL_PATH = sys.argv[1]
    container.DEFAULT_INFERENCE_SERVER_PORT = int(sys.argv[2])
    container._serve("local")
