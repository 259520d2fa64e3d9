"""Does an endpoint work? It gives the golden answer that is kept beside its package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotHealthy, WrongAnswer
from onnxferry.infra.sagemaker.container_logs import tail
from onnxferry.infra.sagemaker.storage import split
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

Send = Callable[[Request], Reply]


@dataclass(frozen=True)
class SmokeTest:
    """Sends golden requests, which `read` finds in a manifest, given with its place."""

    clients: AwsClients
    read: Callable[[bytes, str], Golden] = golden_in

    def run(self, endpoint: str, package: str, send: Send | None = None) -> None:
        """Ask `endpoint` the golden request of `package` (s3://...), by `send` where it takes none
        at once. Raises NotHealthy or WrongAnswer, with the end of the container's log."""
        golden, where = self.golden(package), f"AWS {self.clients.region}, endpoint {endpoint}"
        asked = send or (lambda request: self.clients.invoke(endpoint, request, 60))
        try:
            smoke(golden, asked, where)
        except (NotHealthy, WrongAnswer) as e:
            e.with_log(tail(self.clients, endpoint))
            raise

    def golden(self, package: str) -> Golden:
        """The golden request beside the package. Raises NotFound if none is."""
        return self.read(self.manifest(package), beside(package))

    def manifest(self, package: str) -> bytes:
        """The text of golden.json beside the package. Raises NotFound if none is."""
        where = beside(package)
        bucket, key = split(where)
        return bytes(self.clients.read_object(where, Bucket=bucket, Key=key)["Body"])


def beside(package: str) -> str:
    """Where golden.json is."""
    return f"{package.rpartition('/')[0]}/golden.json"
