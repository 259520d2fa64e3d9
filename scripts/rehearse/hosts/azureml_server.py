"""Runs inside the host's environment: AzureML's server on 127.0.0.1, where by itself it binds every
address."""

from __future__ import annotations

from azureml_inference_server_http import constants

if __name__ == "__main__":
    constants.DEFAULT_HOST = "127.0.0.1"
    from azureml_inference_server_http.amlserver import run

    run()
