"""The accounts in which the flows run: of each cloud one where the tool makes all that it needs,
and one where what may be given is given."""

from __future__ import annotations

import functools
import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import boto3

from onnxferry.infra.azureml.batch import cloud as azureml_batch
from onnxferry.infra.sagemaker.batch import cloud as sagemaker_batch
from onnxferry.infra.waiting import Clock
from tests import tiny
from tests.fakes.aws import ACCOUNT, REGION, AwsServer, aws_server
from tests.fakes.aws.endpoints import Trouble
from tests.fakes.aws.in_process import attach
from tests.fakes.aws.role_rights import NETWORK as ROLE_NETWORK
from tests.fakes.azure import AzureFake
from tests.fakes.azure.blob import Blob
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.login import PRINCIPAL
from tests.fakes.azure.permissions import Permission
from tests.fakes.azure.providers import given as attached
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.authorization import BLOB_ROLES, Authorization
from tests.fakes.azure.providers.computes import attach_cluster
from tests.fakes.azure.providers.deployments import Deployments
from tests.fakes.azure.providers.insights import PUBLISHER, FakeInsights
from tests.fakes.azure.providers.machinelearning import MachineLearning
from tests.fakes.azure.providers.storage import StorageAccounts
from tests.fakes.azure.providers.workspaces import Workspaces
from tests.infra.functions.azure_account import ENTRA, AzureAccount
from tests.infra.policies.flows import NAME, STACK_FAILS, Command, CommandLine, Models, flows
from tests.infra.sagemaker.conftest import no_pauses
from tests.infra.sagemaker.test_flow import ALLOW, TRUST

GROUP = "ml-rg"
STORAGE = "Microsoft.Storage/storageAccounts"
THEIRS = "theirs"  # a bucket or a storage account that is given
ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-0000-0000-000000000000"
NETWORK = {"subnets": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"], "security_groups": ["sg-0a1b2c3d"]}
_NEEDED = {  # by what is given to the role besides
    "*": [f"ec2:{name}" for name in ROLE_NETWORK],
    KEY: ["kms:DescribeKey", "kms:CreateGrant"],
}
_STATEMENTS = [{"Effect": "Allow", "Action": a, "Resource": r} for r, a in _NEEDED.items()]
PRIVATE = json.dumps({"Version": "2012-10-17", "Statement": _STATEMENTS})
_GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
GIVEN: Mapping[str, Any] = {  # settings of a function app
    "storage_account": THEIRS,
    "subnet": f"{_GROUP_ID}/providers/{attached.NETWORKS}/net/subnets/apps",
    "identity": f"{_GROUP_ID}/providers/{attached.IDENTITIES}/serving",
    **ENTRA,
}

_ALL = {"tags": {"team": "ml"}, "environment": {"ONNXFERRY_ENGINE_THREADS": "1"}}
CHANGES: Mapping[str, Mapping[str, Any]] = {  # settings of another run of `deploy`
    "sagemaker": {
        **_ALL,
        "serving": {"instance_type": "ml.m5.xlarge"},
        "scaling": {"max": 2, "target": 60, "schedule": [{"at": "rate(1 day)", "max": 3}]},
    },
    "azureml": {
        **_ALL,
        "serving": {"instance_type": "Standard_F4s_v2"},
        "scaling": {"max": 2, "target": 60},
    },
    "functions": {**_ALL, "instance_memory_mb": 4096},
}


BATCHES: Mapping[str, Any] = {"azureml": azureml_batch, "sagemaker": sagemaker_batch}


@dataclass(frozen=True)
class Account:
    """`run` is the command line, `authorizer` what the fake asks of each call, `before` what others
    do before a command; `granted` are permissions that a flow gives itself, `lacks` commands that
    its endpoint has nothing for."""

    run: CommandLine
    authorizer: Any
    before: Callable[[Command], None] = lambda command: None
    granted: Callable[[Any], bool] = lambda permission: False
    lacks: tuple[str, ...] = ()

    def flows(self) -> Iterator[Command]:
        """The runs of its target."""
        return (one for one in flows(self.run.target) if one.name not in self.lacks)


Open = Callable[[Models], AbstractContextManager[Account]]


@contextmanager
def sagemaker(models: Models) -> Iterator[Account]:
    """Nothing is there."""
    with _aws() as aws, _line("sagemaker", {"region": REGION}, models) as line:
        bucket = f"onnxferry-{ACCOUNT}-{REGION}"
        yield Account(line, aws.authorizer, _Others(aws, line, bucket, "onnxferry").before)


@contextmanager
def sagemaker_given(models: Models, *, role: bool = True) -> Iterator[Account]:
    """A bucket that keeps old versions is there, and the `role`, a network and a KMS key."""
    settings: dict[str, Any] = {"region": REGION, "bucket": THEIRS, "prefix": "models"}
    settings |= {"role": ROLE, "kms_key": KEY, "network": NETWORK} if role else {}
    with _aws() as aws, _line("sagemaker", settings, models) as line:
        place = {"LocationConstraint": REGION}
        client = functools.partial(boto3.session.Session(region_name=REGION).client, config=_Plain)
        client("s3").create_bucket(Bucket=THEIRS, CreateBucketConfiguration=place)
        aws.s3.put_bucket_versioning(THEIRS, "Enabled")
        iam, named = client("iam"), {"RoleName": ROLE.rpartition("/")[2]}
        iam.create_role(**named, AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(**named, PolicyName="serve", PolicyDocument=ALLOW)
        iam.put_role_policy(**named, PolicyName="private", PolicyDocument=PRIVATE)
        puts = ALLOW.replace("GetObject", "PutObject")
        iam.put_role_policy(**named, PolicyName="batch", PolicyDocument=puts)
        yield Account(line, aws.authorizer, _Others(aws, line, THEIRS, "models").before)


@contextmanager
def azureml(models: Models, *, identity: bool = False) -> Iterator[Account]:
    """A workspace is there; its datastore is opened by a key, or as who is signed in, and an
    identity is given that may read it."""
    settings = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "workspace": "work"}
    settings |= {"identity": GIVEN["identity"]} if identity else {}
    with _azure() as fake, _line("azureml", settings, models) as line:
        services = (Authorization(fake, fake.blobs), StorageAccounts(fake, fake.blobs))
        types = (t for service in (*services, FakeInsights(fake)) for t in service.types)
        fake.arm.add(*resources.TYPES, *types)
        fake.add(*resources.routes(fake), *(r for s in services for r in s.routes))
        ml = MachineLearning(fake)
        Workspaces(fake)
        fake.add(*Deployments(fake).routes)
        workspace = ml.workspace(GROUP)
        attach_cluster(fake, workspace)
        store = fake.store.get(f"{workspace}/datastores/workspaceblobstore")
        assert store
        account = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{STORAGE}"
        fake.store.put(f"{account}/wsstore", {"location": "westeurope", "properties": {}})
        if identity:
            store["properties"]["credentials"] = {"credentialsType": "None"}
            fake.blobs.keyless.add("wsstore")
            _serving(fake, workspace, f"{account}/wsstore")
        yield Account(line, fake.authorizer, functools.partial(_prepared, ml))


@contextmanager
def functions(models: Models, *, given: bool = False) -> Iterator[Account]:
    """An empty subscription; or a group with a storage account, a subnet and an identity that are
    given, and callers who sign in."""
    settings = {"subscription": SUBSCRIPTION, "resource_group": GROUP}
    settings |= GIVEN if given else {}
    with _azure() as fake, _line("functions", settings, models) as line:
        account = AzureAccount(fake)
        if given:
            _storage(account)
            _identity(account)
        granted = functools.partial(_by_assignment, account)
        before = functools.partial(_unseen, account)
        yield Account(line, fake.authorizer, before, granted, ("keys",) if given else ())


ACCOUNTS: Mapping[str, Open] = {
    "sagemaker": sagemaker,
    "sagemaker-given-bucket": functools.partial(sagemaker_given, role=False),
    "sagemaker-given": sagemaker_given,
    "azureml": azureml,
    "azureml-given": functools.partial(azureml, identity=True),
    "functions": functions,
    "functions-given": functools.partial(functions, given=True),
}


class _Plain:
    """Stands for the botocore Config of a client that a test makes."""

    read_timeout = 60


@contextmanager
def _aws() -> Iterator[AwsServer]:
    with aws_server() as aws, aws.reachable(), no_pauses(), kept_clients(aws):
        yield aws


@contextmanager
def _azure() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        yield fake


@contextmanager
def kept_clients(aws: AwsServer) -> Iterator[None]:
    """To make a client takes longer than a flow. None has a socket."""
    real, kept = boto3.Session.client, dict[Any, Any]()

    def client(self: Any, service: str, *args: Any, **options: Any) -> Any:
        key = (service, options["config"].read_timeout)
        if key not in kept:
            plain = options["config"] is _Plain
            made = real(self, service, *args, **({} if plain else options))
            kept[key] = attach(made, aws)
        return kept[key]

    with mock.patch.object(boto3.Session, "client", client):
        yield


@contextmanager
def _line(target: str, settings: Mapping[str, Any], models: Models) -> Iterator[CommandLine]:
    """The command line with packages that are made and a clock that does not wait."""
    room = importlib.import_module(f"onnxferry.infra.{target}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        line = CommandLine(target, settings, CHANGES[target], models, folder)
        connect = functools.partial(room.connect, clock=_quick())
        stack.enter_context(mock.patch.object(room, "connect", connect))
        stack.enter_context(mock.patch("onnxferry.scripts.package.package", line.package))
        if target in BATCHES:
            jobs = functools.partial(BATCHES[target].connect, clock=_quick())
            stack.enter_context(mock.patch.object(BATCHES[target], "connect", jobs))
        yield line


def _quick() -> Clock:
    """Five seconds pass in two milliseconds, in which pollers in other threads get on."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        time.sleep(0.002)
        now[0] += 5

    return Clock(lambda: now[0], sleep, 0)


@dataclass(frozen=True)
class _Others:
    """What happens meanwhile: an alarm fires, others have an endpoint when all are listed, and an
    upload of theirs was cut off when it is deleted. They have all permissions."""

    aws: AwsServer
    line: CommandLine
    bucket: str
    prefix: str

    def before(self, command: Command) -> None:
        other, there = replace(self.line, name="other"), "other" in self.aws.endpoints
        authorizer = self.aws.authorizer
        authorizer.allows = lambda permission: True
        self.aws.blue_green.at = {1: self._fire} if "earlier" in command.says else {}
        fails = command.says == STACK_FAILS
        self.aws.endpoints.trouble = {NAME: Trouble("no capacity")} if fails else {}
        if command.name == "compare":
            self.aws.capture.deliver()
        if command.name == "list" and not there:
            other(Command("deploy", "a"))
        if command.name == "delete" and there:
            other(replace(command, model="a"))
        if command.name == "batch":
            self._data(fails=1 in command.codes)
        for golden in self._golden() if command.name == "delete" else ():
            key = golden.replace("golden.json", "model.tar.gz")
            facts: Any = (self.bucket, key, {}, "STANDARD", [], None, None, None)
            self.aws.s3.create_multipart_upload(*facts)

    def _fire(self) -> None:
        """An alarm of the version that is coming goes off."""
        coming = self.aws.endpoints[NAME].pending
        self.aws.alarms.fire(f"onnxferry-{coming}-errors-AllTraffic")

    def _data(self, *, fails: bool) -> None:
        """A bucket with what is to be scored; one file makes the container fail."""
        if "data" not in self.aws.s3.buckets:
            self.aws.s3.create_bucket("data", REGION)
        text = json.dumps({"inputs": tiny.QUESTION}).encode() + b"\n"
        self.aws.s3.put_object("data", "in/a.jsonl", text)
        self.aws.transform_jobs.trouble = {"a.jsonl": 500} if fails else {}

    def _golden(self) -> list[str]:
        mine = f"{self.prefix}/{NAME}/"
        keys = self.aws.keys.get(self.bucket, [])
        return [key for key in keys if key.startswith(mine) and key.endswith("golden.json")][:1]


def _prepared(ml: MachineLearning, command: Command) -> None:
    """What the data collector has captured arrives before it is read; what is to be scored is
    there, and of a job that shall fail, what it fails for."""
    if command.name == "compare":
        ml.collector.deliver()
    if command.name == "batch":
        text = json.dumps({"inputs": tiny.QUESTION}).encode() + b"\n"
        ml.azure.blobs.accounts["wsstore"]["azureml-blobstore"]["in/a.jsonl"] = Blob(text)
        ml.batch.failing = command.says


def _unseen(account: AzureAccount, command: Command) -> None:
    """The resource manager has to be told to look for functions once."""
    account.apps.unseen = int(command.name == "deploy")


def _by_assignment(account: AzureAccount, permission: Permission) -> bool:
    """Whether a role on the storage account, which the flow has assigned, gives it."""
    name = permission.scope.rpartition("/")[2].lower()
    return permission.data and account.authorization.allowed(PRINCIPAL, name)


def _identity(account: AzureAccount) -> None:
    """A subnet, and an identity that may open the storage account and send to Application
    Insights."""
    group = _GROUP_ID
    attached.subnet(account.fake, group)
    id_ = attached.identity(account.fake, group)
    principal = (account.fake.store.get(id_) or {})["properties"]["principalId"]
    for role in (BLOB_ROLES[0], PUBLISHER):
        facts = {"principalId": principal, "roleDefinitionId": f"/x/{role}"}
        path = f"{group}/providers/Microsoft.Authorization/roleAssignments/{role}"
        account.fake.store.put(path, {"properties": facts})


def _serving(fake: AzureFake, workspace: str, storage: str) -> None:
    """An identity that may read the workspace's storage."""
    authorization = Authorization(fake, fake.blobs)
    fake.arm.add(*authorization.types, *attached.types())
    fake.add(*authorization.routes)
    principal = (fake.store.get(attached.identity(fake, _GROUP_ID)) or {})["properties"]
    (fake.store.get(workspace) or {})["properties"]["storageAccount"] = storage
    blobs = [f"{STORAGE}/blobServices/containers/blobs/read"]
    authorization.give(storage, principal["principalId"], "reader", dataActions=blobs)


def _storage(account: AzureAccount) -> None:
    fake = account.fake
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    fake.store.put(group, {"location": "westeurope"})
    facts = {
        "provisioningState": "Succeeded",
        "primaryEndpoints": {"blob": f"https://{THEIRS}.blob.core.localhost:{fake.port}/"},
    }
    fake.store.put(
        f"{group}/providers/{STORAGE}/{THEIRS}", {"location": "westeurope", "properties": facts}
    )
    account.blobs.create(THEIRS)
