"""Whatever else is in the account and near ours, no flow changes it: accounts drawn by hypothesis.

`make worlds` runs 2,000 of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.lease import held, this_run
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker.cloud import SageMakerCloud
from onnxferry.scoring.wire import JSON, Request, Response
from onnxferry.system.errors import FerryError
from onnxferry.system.hashes import sha256
from tests.fakes.aws import REGION, AwsServer
from tests.fakes.aws.endpoints import FIRST, Trouble
from tests.fakes.aws.in_process import attach
from tests.fakes.aws.scaling import INSTANCES
from tests.infra.sagemaker.account import Snapshot, snapshot
from tests.infra.sagemaker.conftest import NAME, cloud
from tests.infra.sagemaker.foreign import (
    Hosting,
    Object,
    World,
    give,
    objects,
    put,
    put_hosting,
    put_object,
    worlds,
)

ENDPOINT_TAG = ("endpoint tag", NAME, "theirs")


@dataclass(frozen=True)
class Later:
    """What others do after the first deployment: put `objects`, use our model or configuration,
    tag our endpoint, give our role policies, and autoscale (`scaled`) another endpoint, or ours.
    `failure` is how the update fails."""

    objects: tuple[Object, ...]
    uses: str
    tagged: bool
    inline: bool
    attached: bool
    failure: str
    scaled: str = ""


class Answers(dict[str, Any]):
    """Every package's host gives the golden answer; one with `wrong` in its address, another."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer, self.wrong = answer, "nothing"

    def __contains__(self, url: object) -> bool:
        return True

    def __getitem__(self, url: str) -> Callable[[Request], Response]:
        body = b'{"answer": "no"}' if self.wrong in url else self.answer
        return lambda request: Response(200, body, JSON)


@dataclass
class Run:
    """One world with its flows, and what of it is not ours: with its value, or None where ours is
    to stay as something of others needs it."""

    aws: AwsServer
    bundles: tuple[Bundle, ...]
    foreign: Snapshot = field(default_factory=dict)
    needed: set[tuple[str, ...]] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)
    done: list[bool] = field(default_factory=list)  # of each flow: whether it was not refused

    def begin(self, world: World) -> None:
        self.options = put(self.aws, client(self.aws), world)
        self.foreign = snapshot(self.aws)

    def flow(self, planned: Callable[[SageMakerCloud], Plan]) -> None:
        """As the command line does it: plan, make the foundation, and hold the lease."""
        made = cloud(**self.options)
        try:
            plan = planned(made)
            first = replace(plan, steps=plan.steps[: plan.foundation], foundation=0)
            apply(first, made)
            with held(made.lease_store, this_run(plan.purpose), lambda text: None):
                apply(replace(plan, steps=plan.steps[plan.foundation :]), made)
            self.done.append(True)
        except FerryError:  # a refusal is no change either
            self.done.append(False)
        self.aws.endpoints.finish()
        self.unchanged()

    def deploy(self, number: int) -> None:
        self.flow(lambda made: made.plan_deploy(self.bundles[number]))

    def unchanged(self) -> None:
        there = snapshot(self.aws)
        gone = {key: value for key, value in self.foreign.items() if there.get(key) != value}
        assert not gone, {key: (value, there.get(key)) for key, value in gone.items()}
        assert self.needed <= set(there)

    def later(self, later: Later) -> None:
        """What others do meanwhile is theirs, and what it needs of ours stays."""
        before, config = snapshot(self.aws), self._used(later.uses)
        bucket = self.options.get("bucket", "theirs")
        for each in later.objects:
            put_object(client(self.aws)("s3"), bucket, each)
        if later.tagged and NAME in self.aws.endpoints:
            self.aws.endpoints[NAME].tags.setdefault("theirs", "yes")
        register(self.aws, later.scaled)
        role = f"onnxferry-{NAME}-{REGION}"
        if role in self.aws.roles:
            give(client(self.aws)("iam"), role, inline=later.inline, attached=later.attached)
        after = snapshot(self.aws)
        self.foreign |= {k: value for k, value in after.items() if before.get(k) != value}
        if config:
            self.foreign["config", config] = after["config", config]

    def _used(self, uses: str) -> str:
        """The name of a configuration of others', if they use our model."""
        ours = self.aws.endpoints.get(NAME)
        if ours is None or not uses or ours.config not in self.aws.sagemaker.endpoint_configs:
            return ""
        found = self.aws.sagemaker.endpoint_configs[ours.config].production_variants[0]
        model = found["ModelName"]
        if model not in self.aws.sagemaker._models:
            return ""
        self.needed.add(("model", model))
        if uses == "endpoint":
            put_hosting(self.aws, Hosting("endpoint", "borrower", ""))
            self.aws.endpoints["borrower"].config = ours.config
            self.needed.add(("config", ours.config))
            return ""
        put_hosting(self.aws, Hosting("config", "borrower", ""), model)
        return "borrower"

    def end(self) -> None:
        """Deletion takes our endpoint, with the tags that others put on it."""
        own = ("scalable target", f"endpoint/{NAME}/variant/{FIRST}")
        gone = (ENDPOINT_TAG[:2], own)
        tags = [key for key in self.foreign if key[:2] in gone]
        theirs = {
            key: self.foreign.pop(key) for key in tags if ("endpoint", NAME) not in self.foreign
        }
        self.flow(lambda made: made.plan_delete())
        if NAME in self.aws.endpoints:  # refused
            self.foreign |= theirs
            self.unchanged()


_CLIENTS: dict[tuple[int, str], Any] = {}


def client(aws: AwsServer) -> Callable[[str], Any]:
    def made(service: str) -> Any:
        if (id(aws), service) not in _CLIENTS:
            found = boto3.client(service, region_name=REGION, config=Config())
            _CLIENTS[id(aws), service] = attach(found, aws)
        return _CLIENTS[id(aws), service]

    return made


@pytest.fixture(scope="module")
def packages(
    bundles: tuple[Bundle, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, ...]:
    """Three that are small: nobody looks into them here."""
    made = []
    for number in range(3):
        path = tmp_path_factory.mktemp("small") / "model.tar.gz"
        path.write_bytes(b"package %d" % number)
        size, sha = path.stat().st_size, sha256(path)
        small = replace(bundles[0].package, path=path, size=size, sha256=sha, members=())
        made.append(replace(bundles[0], package=small))
    return tuple(made)


@pytest.fixture
def account(server: AwsServer) -> Iterator[AwsServer]:
    with server.reachable():
        yield server


def all_flows(aws: AwsServer, bundles: tuple[Bundle, ...], data: st.DataObject) -> list[bool]:
    """Deploy, update, an update that fails, roll back, tidy, prune and delete: which of these were
    not refused."""
    shas = tuple(each.package.sha256 for each in bundles)
    world = data.draw(worlds(shas))
    aws.reset()
    aws.endpoints.looks = 0
    aws.up = answers = Answers(golden(bundles[0]))
    run = Run(aws, bundles)
    run.begin(world)
    scaling = {"max": 3, "target": 60}
    run.options |= {"scaling": scaling} if data.draw(st.booleans()) else {}
    run.deploy(0)
    run.later(data.draw(laters(world.prefix, shas)))
    run.deploy(1)
    fail(run, answers, data.draw(st.sampled_from(("down", "wrong"))))
    run.flow(lambda made: made.plan_rollback())
    run.flow(lambda made: made.plan_delete_unproved())
    run.deploy(2)
    run.end()
    assert aws.violations == []
    return run.done


def fail(run: Run, answers: Answers, how: str) -> None:
    """An update to the third version that does not come up, or gives another answer."""
    if how == "down":
        run.aws.endpoints.trouble[f"{NAME}-candidate"] = Trouble("out of capacity")
    answers.wrong = run.bundles[2].package.sha256
    run.deploy(2)
    run.aws.endpoints.trouble, answers.wrong = {}, "nothing"


def register(aws: AwsServer, endpoint: str) -> None:
    """Others autoscale an endpoint, unless it is autoscaled."""
    if endpoint in aws.endpoints and not aws.endpoints.scaling.scaled(endpoint):
        resource = f"endpoint/{endpoint}/variant/{FIRST}"
        at = {"ServiceNamespace": "sagemaker", "ResourceId": resource}
        limits = {"MinCapacity": 1, "MaxCapacity": 2}
        aws.endpoints.scaling.register({**at, "ScalableDimension": INSTANCES, **limits})


def laters(prefix: str, shas: tuple[str, ...]) -> st.SearchStrategy[Later]:
    things = st.lists(objects(prefix, shas), max_size=3, unique_by=lambda o: o.key).map(tuple)
    uses, yes = st.sampled_from(("", "", "config", "endpoint")), st.booleans()
    scaled = st.sampled_from(("", "", "borrower", "borrower", NAME))
    return st.builds(Later, things, uses, yes, yes, yes, st.just(""), scaled)


def golden(bundle: Bundle) -> bytes:
    return json.dumps(bundle.golden.answer).encode()


SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
quick = partial(settings, deadline=None, database=None, suppress_health_check=SUPPRESSED)


def check(aws: AwsServer, bundles: tuple[Bundle, ...], how: settings) -> None:
    """Most flows are carried out, or this would prove nothing; one of the seven is to fail."""
    done: list[list[bool]] = []

    @how
    @given(data=st.data())
    def world(data: st.DataObject) -> None:
        done.append(all_flows(aws, bundles, data))

    world()
    assert sum(map(sum, done)) > len(done) * 4


def test_no_flow_changes_what_is_not_ours(account: AwsServer, packages: tuple[Bundle, ...]) -> None:
    check(account, packages, quick(max_examples=10, derandomize=True))


@pytest.mark.worlds
@pytest.mark.timeout(0)
@pytest.mark.parametrize("part", range(4))
def test_no_flow_changes_what_is_not_ours_in_500_worlds(
    account: AwsServer, packages: tuple[Bundle, ...], part: int
) -> None:
    check(account, packages, quick(max_examples=500))
