"""Service Quotas, and Auto Scaling's scalable targets: what a deployment asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.aws.answers import Refusal

_PAGE = 100
SERVERLESS = "Maximum total concurrency that can be allocated across all serverless endpoints"


class Quotas(dict[str, float]):
    """Quota's name -> value, of SageMaker in the account and region. The `others` come first, so
    that a client must turn pages."""

    def __init__(self) -> None:
        kinds = ("ml.m5.large", "ml.m5.xlarge", "ml.m5.4xlarge")
        uses = ("endpoint", "transform job")
        super().__init__({f"{kind} for {use} usage": 100.0 for kind in kinds for use in uses})
        self[SERVERLESS] = 200.0

    def of(self, kind: str) -> float:
        """How many instances of a kind may serve."""
        return self.get(f"{kind} for endpoint usage", 0.0)

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {"ListServiceQuotas": self.list}

    def list(self, asked: Mapping[str, Any]) -> Any:
        if asked["ServiceCode"] != "sagemaker":
            raise Refusal("NoSuchResourceException", "The request failed: no such service.")
        others = {f"ml.x{i}.large for training job usage": 1.0 for i in range(_PAGE)}
        found = [_quota(name, value) for name, value in {**others, **self}.items()]
        start = int(asked.get("NextToken", 0))
        end = start + int(asked.get("MaxResults", _PAGE))
        more = {"NextToken": str(end)} if end < len(found) else {}
        return {"Quotas": found[start:end], **more}


def _quota(name: str, value: float) -> dict[str, Any]:
    code = f"L-{abs(hash(name)) % 16**8:08X}"
    return {"ServiceCode": "sagemaker", "QuotaName": name, "QuotaCode": code, "Value": value}
