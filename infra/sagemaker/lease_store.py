"""The lease on an endpoint, as an object beside its packages that S3 writes only conditionally."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotFound
from onnxferry.infra.lease import Stored
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.packages import is_marked


@dataclass(frozen=True)
class S3LeaseStore:
    """See infra.lease.LeaseStore."""

    clients: AwsClients
    names: Names

    def read(self) -> Stored | None:
        """Raises NameTaken, too, where the object is not ours."""
        try:
            answer = self.clients.read_object(self._where, **self._at)
        except NotFound as e:
            if "NoSuchBucket" in str(e):
                raise
            return None
        if not is_marked(self.names, answer):
            raise NameTaken(
                f"AWS {self.names.region}, {self._where}: an object that onnxferry did not put"
                " there (it has not its mark); move it away, or set sagemaker.prefix"
            )
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = max(0.0, (now - answer["LastModified"]).total_seconds())
        return Stored(answer["Body"].decode(), answer["ETag"], age)

    def write(self, text: str, etag: str) -> str | None:
        """A further attempt after a lost answer finds what the first has written."""
        only = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        what = {"Body": text.encode(), "ContentType": "application/json", **only}
        try:
            put = ("s3", "put_object", self._where)
            written = self.clients.call(*put, **self._at, **what, Metadata=self.names.mark())
        except NameTaken:
            there = self.read()
            return there.etag if there and there.text == text else None
        except NotFound as e:
            if "NoSuchBucket" in str(e):
                raise
            return None
        return str(written["ETag"])

    @property
    def _at(self) -> dict[str, str]:
        return {**self.names.at(self.names.bucket), "Key": self.names.lease_key}

    @property
    def _where(self) -> str:
        return f"s3://{self.names.bucket}/{self.names.lease_key}"
