"""What a cloud offers to the command line: protocols, which each cloud's cloud.py implements."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from onnxferry.infra.apply import Executor
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.log_feeds import Feed, LogPlace
from onnxferry.infra.plan import Plan
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package import Package
from onnxferry.system.errors import PackageError

if TYPE_CHECKING:
    from onnxferry.infra.access_keys import Access
    from onnxferry.infra.shadow_traffic import ShadowTraffic


@dataclass(frozen=True)
class Bundle:
    """What is deployed: a package, and the golden request that proves it."""

    package: Package
    golden: Golden

    @property
    def version(self) -> str:
        """12 hexadecimal digits that name the package's content."""
        return self.package.sha256[:12]


def bundle(package: Package, model_dir: Path) -> Bundle:
    """`package` of `model_dir` with its golden request. Raises PackageError without one."""
    golden = ModelSpec.read(model_dir).golden
    if golden:
        return Bundle(package, golden)
    needed = "it is what proves a deployment; prepare the model again with an example"
    raise PackageError(f"{model_dir}: model_spec.json has no golden request, and {needed}")


@dataclass(frozen=True)
class EndpointStatus:
    """What is live. `state` is "absent" or the platform's own word; `version` and `previous` are
    those of bundles ("" if none); `resources` are (kind, name, state) of all that belongs to the
    endpoint, half-made and failed too."""

    target: str
    name: str
    state: str
    url: str = ""
    version: str = ""
    previous: str = ""
    resources: tuple[tuple[str, str, str], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as JSON text."""
        return json.dumps(asdict(self), indent=2, default=str) + "\n"


@dataclass(frozen=True)
class Listed:
    """One thing that onnxferry made, anywhere in the account: `kind` is the resource's, `endpoint`
    whose it is, `deployed` when it was made (ISO 8601, "" if untold), `place` the region, workspace
    or resource group. `instance_hours` is what runs in a day, 0 where nothing is billed by the
    hour, None where that depends on the requests."""

    kind: str
    name: str
    endpoint: str
    version: str
    state: str
    deployed: str
    place: str
    instance_hours: float | None = 0


class Cloud(Executor, Protocol):
    """What every platform does: sign in, execute the steps of a plan, keep a lease, and list."""

    def sign_in(self) -> None:
        """Raise NoCredentials where nobody is signed in; called before anything is packaged."""

    def lease_store(self) -> LeaseStore:
        """Where the endpoint's lease is kept, beside its packages. Raises NotFound where that place
        is not there."""

    def listed(self) -> Sequence[Listed]:
        """All that onnxferry ever made in the account and region, or the subscription, whatever
        deploy.toml says of names. Raises CloudError."""


class AsyncEndpoint(Protocol):
    """An endpoint that takes requests by reference, and puts its answers into storage."""

    def invoke_async(self, request: Request, timeout: float, source: str = "") -> Reply:
        """The answer to `request`, which is uploaded; or to the one that is at `source` (a URL of
        the cloud's storage), of the content types that `request` says. Raises CloudError."""


class Templated(Cloud, Protocol):
    """A cloud whose infrastructure can be had as a template of the cloud's own. All raise
    CloudError."""

    def template(self, package: Package, kind: str = "", *, over: bool = False) -> str:
        """The template's text, of one of the target's kinds: what deploying `package` would make,
        which need not be built yet. Asks the cloud nothing; but to be deployed `over` what is
        there, it has what shall stay of that."""

    def plan_template(self, package: Package) -> Plan:
        """Steps that deploy it, previewed by the cloud; no change where all is as it says."""


@dataclass(frozen=True)
class TemplateFiles:
    """Texts by the names of their files, which lie in one folder, and the `commands` of the cloud's
    own tool that deploy them from there."""

    texts: Mapping[str, str]
    commands: tuple[str, ...]


@runtime_checkable
class TemplatedInFiles(Cloud, Protocol):
    """A cloud that has some of its kinds of templates in several files, with the endpoint."""

    @property
    def kinds_of_files(self) -> Collection[str]:
        """Those of the target's kinds that are so."""

    def template_files(self, bundle: Bundle, kind: str, folder: Path) -> TemplateFiles:
        """The files that serve `bundle`, to be written into `folder`; they name its package by
        relative paths. Asks the cloud nothing."""


class Shadowed(Cloud, Protocol):
    """A cloud where a new version can get a copy of the requests, and what both answered is
    captured."""

    def shadow_traffic(self, since: datetime | None, limit: int) -> ShadowTraffic:
        """The newest `limit` answers of the shadow and what the live version answered to the same
        requests, since a time, or since the shadow was made. Only reads. Raises NotFound without
        shadow, and CloudError."""


@runtime_checkable
class TemplatedEndpoint(Templated, Protocol):
    """One whose template can have the endpoint, too."""

    def plan_template_with(self, bundle: Bundle) -> Plan:
        """Steps that deploy the template with an endpoint in it that serves `bundle`; from then on
        only the template changes that endpoint."""


class OnlineEndpoint(Cloud, Protocol):
    """One endpoint that answers requests at once. `plan_...` and `status` only read. All raise
    CloudError.

    Jobs (submit, status, cancel, fetch) get a protocol beside it. How an endpoint serves is one
    variant of its target's configuration, which `desired` resolves.
    """

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """Steps that end with `bundle` live; no change when it is live already."""

    def plan_rollback(self) -> Plan:
        """Steps that put the previous version back. Raises NotFound if none is kept."""

    def plan_delete(self) -> Plan:
        """Steps that delete all that deploying made, half-made things too."""

    def plan_delete_unproved(self) -> Plan:
        """Steps that delete what was begun and has not proved itself (candidates, failed
        deployments), and nothing that serves or served before."""

    def invoke(self, request: Request, timeout: float) -> Reply:
        """Send one request, with `timeout` in seconds. A refusal is a Reply with its status."""

    def status(self) -> EndpointStatus:
        """What is live, and all that belongs to it."""

    def logs(self, lines: int) -> str:
        """The last `lines` that the live version's container printed."""


@runtime_checkable
class HasLogFeed(Protocol):
    """An endpoint whose log can be watched while it grows."""

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """What gives, at each call, the lines since the call before; at the first the last `lines`,
        or all of them `since` then. Raises UsageError where the log has no times, and CloudError,
        as the feed does."""


@runtime_checkable
class HasLogPlaces(Protocol):
    """An endpoint whose versions have several containers, each with a log of its own."""

    def at(self, place: LogPlace) -> OnlineEndpoint:
        """The same endpoint, whose log is that of `place`. Raises UsageError for a container that
        there is none of."""


@runtime_checkable
class HasKeys(Cloud, Protocol):
    """An endpoint whose callers may be let in by keys. Both raise CloudError."""

    def access(self) -> Access:
        """How callers are let in, with the keys, which are never printed unasked. Raises NotFound
        without an endpoint."""

    def plan_rotate(self, kind: str) -> Plan:
        """A step that renews the "primary" or the "secondary" key, so that its old value is
        refused. Raises Refused where callers are let in otherwise."""


@runtime_checkable
class HasMetrics(Protocol):
    """An endpoint whose requests the cloud counts."""

    def last_hour(self) -> Mapping[str, Any]:
        """RequestMetrics of the last hour by their titles, or why they are not known; empty where
        nothing serves. Raises CloudError."""


@runtime_checkable
class HasConsole(Protocol):
    """An endpoint that has a page in its cloud's console."""

    def console_url(self) -> str:
        """The page's address. Asks the cloud nothing. Raises UsageError where there is none."""


@runtime_checkable
class HasBatchPage(Protocol):
    """An endpoint whose batch jobs have a page in its cloud's console."""

    def batch_url(self) -> str:
        """See HasConsole."""
