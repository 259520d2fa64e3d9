"""A plan that was written as JSON and read again, by another process, does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import PublishFailed
from tests.fakes.aws import AwsServer
from tests.infra.plan_json import plan_of
from tests.infra.quiet import QuietReport
from tests.infra.sagemaker.conftest import cloud, deploy


def calls(aws: AwsServer) -> list[tuple[str, str, Any]]:
    """What was asked, without what is of one process alone."""
    return [(call.operation, call.path, call.parameters) for call in aws.calls]


def executed(aws: AwsServer, bundles: tuple[Bundle, ...], purpose: str, text: bool) -> list[Any]:
    aws.reset()
    for each in bundles[: {"deploy": 0, "update": 1}.get(purpose, 2)]:
        deploy(each)
    made = cloud()
    plans = {"roll back": made.plan_rollback, "delete": made.plan_delete}
    plan = plans[purpose]() if purpose in plans else made.plan_deploy(bundles[1])
    executor = cloud() if text else made
    assert executor.names.account  # asked once by each
    aws.begin()
    apply(plan_of(plan.to_json()) if text else plan, executor, QuietReport())
    return calls(aws)


@pytest.mark.parametrize("purpose", ["deploy", "update", "roll back", "delete"])
def test_a_plan_from_json_makes_the_same_calls(
    aws: AwsServer, bundles: tuple[Bundle, ...], purpose: str
) -> None:
    first = executed(aws, bundles, purpose, text=False)
    assert first == executed(aws, bundles, purpose, text=True)


def test_a_package_that_has_changed_since_the_plan_is_refused(
    aws: AwsServer, bundles: tuple[Bundle, ...], tmp_path: Path
) -> None:
    plan = cloud().plan_deploy(bundles[0])
    other = tmp_path / "model.tar.gz"
    other.write_bytes(b"another")
    text = plan.to_json().replace(str(bundles[0].package.path), str(other))
    with pytest.raises(PublishFailed, match=r"not the package that was planned"):
        apply(plan_of(text), cloud(), QuietReport())
    assert not any(aws.keys.values())
