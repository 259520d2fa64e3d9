"""Does an endpoint work? It gives the golden answer that is kept beside its package."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotHealthy, WrongAnswer
from onnxferry.infra.sagemaker.failures import tail
from onnxferry.infra.sagemaker.storage import split
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.scoring.manifest import Golden


@dataclass(frozen=True)
class SmokeTest:
    """Sends golden requests."""

    clients: AwsClients

    def run(self, endpoint: str, package: str) -> None:
        """Ask `endpoint` the golden request of the package at `package` (s3://...). Raises
        NotHealthy or WrongAnswer, with the end of the container's log."""
        golden, where = self.golden(package), f"AWS {self.clients.region}, endpoint {endpoint}"
        try:
            smoke(golden, lambda request: self.clients.invoke(endpoint, request, 60), where)
        except (NotHealthy, WrongAnswer) as e:
            e.with_log(tail(self.clients, endpoint))
            raise

    def golden(self, package: str) -> Golden:
        """The golden request that is kept beside the package. Raises NotFound when there is
        none."""
        bucket, key = split(package)
        key = f"{key.rpartition('/')[0]}/golden.json"
        where = f"s3://{bucket}/{key}"
        answer = self.clients.call("s3", "get_object", where, {"Bucket": bucket, "Key": key})
        return golden_in(answer["Body"].read(), where)
