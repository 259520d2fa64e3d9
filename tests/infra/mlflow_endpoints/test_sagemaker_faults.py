"""Whatever call of mlflow.deployments or ours is the last of a run, or is refused: what served goes
on serving, and a new run ends where an undisturbed one does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, cycle
from typing import Any

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError
from tests.fakes.aws import AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.mlflow_endpoints.conftest import NAME, mlflow_host
from tests.infra.mlflow_endpoints.test_sagemaker import cloud, deploy

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("kept_resources")]

REFUSED = ("CreateModel", "CreateEndpoint", "AddTags")


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


@contextmanager
def killed_after(aws: AwsServer, number: int) -> Iterator[None]:
    """Be killed after that change, of those that this thread asks for."""
    around, numbers = aws.faults.around, count()

    def act(call: Any, do: Callable[[Any], Any]) -> Any:
        answer = around(call, do)
        here = threading.current_thread() is threading.main_thread()
        if here and not call.reads and next(numbers) == number:
            raise Killed
        return answer

    vars(aws.faults)["around"] = act
    try:
        yield
    finally:
        aws.begin()


def begin(aws: AwsServer) -> None:
    aws.reset()
    aws.hosts = mlflow_host


def found(aws: AwsServer) -> Any:
    """What is in the account, once what is under way is done."""
    aws.endpoints.finish()
    endpoints = {e.name: (e.config, e.state) for e in aws.endpoints.values()}
    models, configs = aws.sagemaker._models, aws.sagemaker.endpoint_configs
    tags = {name: sorted(map(str, one.tags)) for name, one in {**models, **configs}.items()}
    return endpoints, tags, aws.keys, sorted(aws.roles)


def whole(aws: AwsServer, *versions: str) -> bool:
    """Whether the first of the versions serves, and all that is there is theirs, and marked."""
    endpoints, tags, keys, _ = found(aws)
    ((config, state),) = endpoints.values()
    named = [name for name in tags if any(version in name for version in versions)]
    count = len(versions)
    return (
        (state, versions[0] in config) == ("InService", True)
        and (len(named), len(tags)) == (2 * count, 2 * count)
        and all(f"mlflow/{NAME}" in "".join(marks) for marks in tags.values())
        and [len(found) for found in keys.values()] == [2 * count]
    )


def served_throughout(aws: AwsServer) -> bool:
    """Every change of what serves was to something that had given the golden answer."""
    changes = [change for change in aws.endpoints.changes if change.endpoint == NAME]
    return all(change.config and change.proved for change in changes[1:])


def killed(aws: AwsServer, bundle: Bundle, number: int) -> bool:
    try:
        with killed_after(aws, number):
            deploy(bundle)
    except Killed:
        return True
    return False


@pytest.mark.parametrize(
    "numbers", [(3, 4), pytest.param(range(8), marks=pytest.mark.worlds)], ids=["some", "all"]
)
def test_a_killed_update_is_gone_on_with(
    aws: AwsServer, bundles: dict[str, Bundle], numbers: Sequence[int]
) -> None:
    begin(aws)
    deploy(bundles["a"])
    serving = "a"
    for number, name in zip(numbers, cycle("bca"), strict=False):
        assert killed(aws, bundles[name], number)
        deploy(bundles[name])
        assert whole(aws, bundles[name].version, bundles[serving].version), number
        serving = name
    assert served_throughout(aws)


@pytest.mark.parametrize(
    "number", [9, *(pytest.param(i, marks=pytest.mark.worlds) for i in (7, 8, 10, 11))]
)
def test_a_killed_first_deployment_is_gone_on_with(
    aws: AwsServer, bundles: dict[str, Bundle], number: int
) -> None:
    begin(aws)
    assert killed(aws, bundles["a"], number)
    deploy(bundles["a"])
    assert whole(aws, bundles["a"].version)


def test_a_refused_call_leaves_what_served_and_a_new_run_succeeds(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    begin(aws)
    deploy(bundles["a"])
    before = found(aws)
    for operation in REFUSED:
        aws.refusals[operation] = Refusal("ValidationException", "something is wrong")
        with pytest.raises(CloudError, match="something is wrong"):
            deploy(bundles["b"])
        assert found(aws) == before, operation
        aws.refusals.clear()
    deploy(bundles["b"])
    assert served_throughout(aws)
    assert whole(aws, bundles["b"].version, bundles["a"].version)


def test_what_a_killed_run_has_left_can_be_removed(
    aws: AwsServer, bundles: dict[str, Bundle]
) -> None:
    begin(aws)
    deploy(bundles["a"])
    before = found(aws)
    for number in (2, 4):
        assert killed(aws, bundles["b"], number)
        made = cloud()
        apply(made.plan_delete_unproved(), made)
        assert found(aws) == before, number
