"""What every cloud offers to deploy.py: plan by reading, execute, ask, tell. One file a cloud
implements it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.markup import escape
from rich.table import Table

from onnxferry.infra.plan import Operation, Plan
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package
from onnxferry.system.errors import PackageError


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
    """`package` of `model_dir` with its golden request. Raises PackageError when the model has
    none."""
    golden = ModelSpec.read(model_dir).golden
    if golden is None:
        raise PackageError(
            f"{model_dir}: model_spec.json has no golden request, so nothing could prove a"
            " deployment before it takes traffic; prepare the model again with an example"
        )
    return Bundle(package, golden)


@dataclass(frozen=True)
class Reply:
    """An endpoint's answer. `seconds` is the time that the client waited; `served_by` is the
    version, deployment or variant that answered, as far as the platform tells."""

    status: int
    body: bytes
    content_type: str
    seconds: float
    served_by: str


@dataclass(frozen=True)
class Status:
    """What is live. `state` is "absent" or the platform's own word; `version` and `previous` name
    packages (12 digits, "" if none); `resources` are (kind, name, state) of all that belongs to the
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

    def table(self) -> Table:
        """For a reader: a line a fact, then a line a resource."""
        table = Table(
            title=f"{self.name} on {self.target}: {self.state}",
            title_justify="left",
            show_header=False,
        )
        facts = {
            "url": self.url,
            "version": self.version,
            "previous": self.previous,
            **self.details,
        }
        for key, value in facts.items():
            table.add_row(key, escape(str(value or "-")))
        table.add_section()
        for kind, name, state in self.resources:
            table.add_row(kind, escape(f"{name} ({state})"))
        return table


class Cloud(Protocol):
    """One endpoint on one cloud. The methods that plan, and status, only read. All raise
    CloudError."""

    def sign_in(self) -> None:
        """Raise NoCredentials now, and not after a package was built, where nobody is signed in."""

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """Steps that end with `bundle` live; all `reuse` and `check` when it is live already."""

    def plan_rollback(self) -> Plan:
        """Steps that put the previous version back. Raises NotFound when none is kept."""

    def plan_delete(self) -> Plan:
        """Steps that delete all that deploying made, half-made things too; no step when nothing is
        there."""

    def operations(self, bundle: Bundle | None = None) -> Mapping[str, Operation]:
        """What executes a plan's steps, by Step.operation. `bundle` is needed for a
        deployment's."""

    def invoke(self, request: Request, timeout: float) -> Reply:
        """Send one request to what serves. A refusal is a Reply with its status; `timeout` is in
        seconds."""

    def status(self) -> Status: ...

    def logs(self, lines: int) -> str:
        """The last `lines` that the serving version's container printed."""
