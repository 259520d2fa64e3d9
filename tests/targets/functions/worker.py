"""The app in the Azure Functions worker: one package, unpacked once, started as often as a module
needs it, with the app settings that it needs."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]

from onnxferry.scripts.package import Package, package
from onnxferry.scripts.rehearse import Host, start
from onnxferry.scripts.rehearse.archives import unpack_zip
from onnxferry.scripts.rehearse.functions import KEY, RUNTIME
from onnxferry.scripts.rehearse.runtime import UnpackedPackage
from tests.packages import quick, quiet
from tests.targets.served import HERE


@dataclass(frozen=True)
class App:
    """A package, and the folder where it is unpacked."""

    package: Package
    folder: Path

    @staticmethod
    def of(model: Path, folder: Path) -> App:
        """The model's, in `folder`."""
        layout = quick("functions")
        built = package(model, layout, out=folder / "build", python=HERE, report=quiet)
        unpack_zip(built.path, folder / "wwwroot")
        return App(built, folder / "wwwroot")

    def copied(self, folder: Path) -> App:
        """Another of the same files, of which each may be replaced."""
        shutil.copytree(self.folder, folder, copy_function=os.link)
        return replace(self, folder=folder)

    @contextmanager
    def started(self, **settings: str) -> Iterator[Host]:
        """The worker with these app settings."""
        place = lambda _, root: UnpackedPackage(root, self.folder, self.folder / "model")  # noqa: E731
        variables = lambda unpacked, port: {**RUNTIME.environment(unpacked, port), **settings}  # noqa: E731
        runtime = replace(RUNTIME, unpack=place, environment=variables)
        with start(self.package, runtime=runtime, report=quiet) as host:
            yield host

    def kill(self) -> None:
        """kill -9 of the worker's process."""
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # others of this process end meanwhile
                words = child.cmdline()
                if str(self.folder) in words and not any("supervisor" in word for word in words):
                    child.kill()


def ask(host: Host, method: str, path: str, key: str | None = KEY, **more: Any) -> httpx.Response:
    """The answer to one request, by default with the function key as a header."""
    headers = {**({"x-functions-key": key} if key else {}), **more.pop("headers", {})}
    url = host.url.partition("/api/")[0] + path
    # without certificates, which take longer to read than an answer to come
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with httpx.Client(trust_env=False, verify=plain, timeout=60) as client:
        return client.request(method, url, headers=headers, **more)


def error(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal of ours, which shows nothing of the inside."""
    told = response.json()["error"]
    assert set(told) == {"code", "message"}
    assert "Traceback" not in told["message"]
    assert ".py" not in told["message"]
    return response.status_code, told["code"]
