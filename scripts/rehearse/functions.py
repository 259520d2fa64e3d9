"""Azure Functions: the Python worker, driven as the Functions host drives it
(hosts/functions_server.py).

As on the platform, all that the app needs is in the zip; the environment holds only the worker.
"""

from __future__ import annotations

from pathlib import Path

import httpx

from onnxferry.scripts.package import pins
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.archives import unpack_zip
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.runtime import HOSTS, Install, Runtime, UnpackedPackage

ROUTES = ("/api/health", "/api/ready", "/api/openapi.json", "/api/docs", "/api/docs/swagger-ui.css")
KEY = "rehearsal"  # the app's function key; on the platform Azure makes one
_WORKER = ("azure-functions-runtime", "azurefunctions-extensions-base")
# azure-functions comes from the package. The worker's metadata asks for Python 3.13, where Azure
# runs it as a library; its code runs on 3.10 as well.
_OPTIONS = ("--no-deps", "--ignore-requires-python")


def _unpack(package: Package, root: Path) -> UnpackedPackage:
    app = root / "wwwroot"
    unpack_zip(package.path, app)
    return UnpackedPackage(root, app, app / "model")


def _prove(host: Host, unpacked: UnpackedPackage) -> None:
    """The other routes that answer any caller answer."""
    base = host.url.partition("/api/")[0]
    for path in ROUTES:
        answer = httpx.get(f"{base}{path}", params={"code": KEY}, trust_env=False, timeout=60)
        if answer.status_code != httpx.codes.OK:
            raise host.failure(f"GET {path} was answered with status {answer.status_code}")


RUNTIME = Runtime(
    title="the Azure Functions worker",
    health="/",
    score=f"/api/score?code={KEY}",
    unpack=_unpack,
    installs=lambda unpacked, python: (Install(tuple(pins.select(_WORKER, python)), _OPTIONS),),
    command=lambda unpacked, port: (HOSTS / "functions_server.py", unpacked.app, port, KEY),
    environment=lambda unpacked, port: {
        "AzureWebJobsScriptRoot": str(unpacked.app),
        "FUNCTIONS_WORKER_RUNTIME": "python",
    },
    prove=_prove,
)
