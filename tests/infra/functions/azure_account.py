"""A subscription on loopback with nothing in it, and packages to deploy there."""

from __future__ import annotations

import copy
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.functions import connect
from onnxferry.infra.functions.cloud import FunctionsCloud
from onnxferry.infra.functions.names import Names
from onnxferry.infra.plan import Plan
from onnxferry.infra.target_tables import Functions
from onnxferry.infra.waiting import Clock
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package
from onnxferry.system.hashes import sha256
from tests import tiny
from tests.fakes.azure import AzureFake
from tests.fakes.azure.blob import FakeBlobs
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.in_process import in_process
from tests.fakes.azure.providers import resources
from tests.fakes.azure.providers.authorization import Authorization
from tests.fakes.azure.providers.deployments import Deployments
from tests.fakes.azure.providers.insights import FakeInsights
from tests.fakes.azure.providers.storage import StorageAccounts
from tests.fakes.azure.providers.web import FunctionApps
from tests.infra.quiet import QuietReport

GROUP, APP = "ml-rg", "squad"
QUICK = Clock(sleep=lambda seconds: time.sleep(0.001), interval=0)
CLIENT = "00000000-0000-0000-0000-0000000000e1"  # an app registration
ENTRA = {"auth": "entra", "entra_client_id": CLIENT}
QUESTION = Request(
    b'{"inputs": {"question": "What is the middle name of Dolly", "context": "Dolly Rebecca'
    b' Parton"}}'
)


@dataclass
class Hours:
    """A clock whose time passes only by sleeping, in which threads come to run."""

    time: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        time.sleep(0.003)


def by(hours: Hours, cloud: FunctionsCloud) -> FunctionsCloud:
    """`cloud` with that clock, asking every five seconds."""
    return replace(cloud, clock=Clock(lambda: hours.time, hours.sleep, 5.0))


def bundle(folder: Path, word: str, python: str = "3.12") -> Bundle:
    """A function zip, without its libraries, of a model whose answer to QUESTION is `word`."""
    model = folder / word
    tiny.question_answering(model)
    tiny.span_graph(model / "model.onnx", {word: (4, 4)})
    answer = scoring.load(model).handle(QUESTION).body
    spec = ModelSpec.read(model)
    golden = Golden(QUESTION, json.loads(answer))
    tiny.write_spec(model, ModelSpec(spec.name, spec.task, spec.settings, golden=golden))
    path = folder / f"{word}.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("host.json", "{}")
        names = () if word == "rebecca" else ("health", "ready")  # an older package has no probes
        zipped.writestr("function_app.py", "".join(f'@app.function_name("{n}")\n' for n in names))
        for file in sorted(model.iterdir()):
            zipped.write(file, f"model/{file.name}")
    return Bundle(
        Package("functions", "tiny-qa", path, sha256(path), path.stat().st_size, python, ()), golden
    )


@dataclass
class AzureAccount:
    """The fake with the services of a function app. `snapshot` and `restore` keep and put back all
    of its state."""

    fake: AzureFake
    blobs: FakeBlobs = field(init=False)
    authorization: Authorization = field(init=False)
    accounts: StorageAccounts = field(init=False)
    insights: FakeInsights = field(init=False)
    apps: FunctionApps = field(init=False)
    deployments: Deployments = field(init=False)

    def __post_init__(self) -> None:
        self.blobs = self.fake.blobs
        self.authorization = Authorization(self.fake, self.blobs)
        self.accounts = StorageAccounts(self.fake, self.blobs)
        self.insights = FakeInsights(self.fake)
        self.apps = FunctionApps(self.fake, self.authorization, self.insights)
        services = (self.authorization, self.accounts, self.insights, self.apps)
        self.fake.login.applications.add(f"api://{CLIENT}")
        self.fake.arm.add(*resources.TYPES, *(t for service in services for t in service.types))
        self.deployments = Deployments(self.fake)
        self.fake.add(*resources.routes(self.fake), *(r for s in services for r in s.routes))
        self.fake.add(*self.deployments.routes)

    def cloud(self, name: str = APP, **settings: Any) -> FunctionsCloud:
        """The cloud as deploy.py opens it, with a clock that hardly waits."""
        table = Functions(**{"subscription": SUBSCRIPTION, "resource_group": GROUP, **settings})
        return connect(DeployConfig(functions=table), name, QUICK)

    @property
    def names(self) -> Names:
        return Names(SUBSCRIPTION, GROUP, APP)

    @property
    def group_id(self) -> str:
        return self.names.group_id

    def tags(self, app: str = APP) -> dict[str, str]:
        return dict((self.apps.site(app) or {}).get("tags") or {})

    def serves(self, app: str = APP) -> str:
        """The sha256 of what the app serves; "" when nothing."""
        found = self.apps.serving.get(app)
        return found.sha256 if found else ""

    def kinds(self) -> list[str]:
        """All that is there, a "type name" each."""
        return sorted(
            f"{r['type'].rpartition('/')[2]} {r['name']}" for r in self.fake.store.everything()
        )

    def snapshot(self) -> Any:
        """A copy of all state, for `restore`."""
        mine = {
            key: value
            for key, value in vars(self.apps).items()
            if key not in ("fake", "authorization", "insights", "_scorers", "sign_in")
        }
        return copy.deepcopy(
            (
                self.fake.store.__dict__,
                self.blobs.accounts,
                self.blobs.denied,
                self.blobs.keyless,
                mine,
                {
                    k: v
                    for k, v in vars(self.authorization).items()
                    if not k.startswith("_") and k != "types"
                },
                self.apps.sign_in.settings,
            )
        )

    def restore(self, state: Any) -> None:
        """Put `state` back, and forget calls, faults, operations and what was asked to go wrong."""
        store, accounts, denied, keyless, mine, others, asked = copy.deepcopy(state)
        self.fake.store.__dict__.update(store)
        self.blobs.accounts, self.blobs.denied, self.blobs.keyless = accounts, denied, keyless
        vars(self.apps).update(mine)
        vars(self.authorization).update(others)
        self.apps.sign_in.settings = asked
        self.accounts.taken.clear()
        self.insights.rows.clear()
        self.blobs.walled.clear()
        self.fake.operations.forget()
        self.deployments.known.clear()
        self.fake.arm.denied.clear()
        self.fake.arm.failures.clear()
        self.fake.arm.refusals.clear()
        self.fake.faults.at.clear()
        self.fake.faults.every = None
        self.fake.restart_counting()


@contextmanager
def azure_account(*, sockets: bool = False) -> Iterator[AzureAccount]:
    """The account, found by the SDKs of this process; by others only through `sockets`."""
    with AzureFake() as fake, fake.reachable(), nullcontext() if sockets else in_process(fake):
        yield AzureAccount(fake)


def quiet(title: str) -> nullcontext[Any]:
    return nullcontext(lambda text: None)


def run(plan: Plan, cloud: FunctionsCloud, bundle: Bundle | None = None) -> Plan:
    """Apply `plan`, and return it."""
    apply(plan, cloud, QuietReport())
    return plan


def deploy(cloud: FunctionsCloud, bundle: Bundle) -> Plan:
    return run(cloud.plan_deploy(bundle), cloud, bundle)
