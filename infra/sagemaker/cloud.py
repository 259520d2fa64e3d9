"""One endpoint at SageMaker, as deploy.py knows a cloud."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from onnxferry.infra.cloud import Bundle, EndpointStatus
from onnxferry.infra.errors import CloudError, NotFound
from onnxferry.infra.plan import Operation, Plan, Step
from onnxferry.infra.sagemaker import deletion, plan, storage
from onnxferry.infra.sagemaker import state as live
from onnxferry.infra.sagemaker.failures import tail
from onnxferry.infra.sagemaker.hosting import Hosting
from onnxferry.infra.sagemaker.prerequisites import Prerequisites
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply
from onnxferry.system.console import Progress


@dataclass
class SageMakerCloud:
    """See infra.cloud.OnlineEndpoint."""

    scope: Scope
    bundle: Bundle | None = field(default=None, init=False)

    def sign_in(self) -> None:
        _ = self.scope.aws.account

    def plan_deploy(self, bundle: Bundle) -> Plan:
        self.bundle = bundle
        return plan.plan_deploy(self.scope, bundle)

    def plan_rollback(self) -> Plan:
        return plan.plan_rollback(self.scope)

    def plan_delete(self) -> Plan:
        return deletion.plan_delete(self.scope)

    @property
    def operations(self) -> Collection[str]:
        return self._operations.keys()

    def execute(self, step: Step, progress: Progress) -> None:
        self._operations[step.operation](step, progress)

    @property
    def _operations(self) -> Mapping[str, Operation]:
        return {
            **Prerequisites(self.scope, self.bundle).operations(),
            **Hosting(self.scope).operations(),
        }

    def invoke(self, request: Request, timeout: float) -> Reply:
        name = self.scope.names.endpoint
        reply = self.scope.aws.invoke(name, request, timeout)
        return replace(reply, served_by=" ".join(filter(None, (reply.served_by, self._version()))))

    def _version(self) -> str:
        """The serving version, where the caller may ask for it: to invoke needs less permission,
        and the answer that is there already counts."""
        try:
            found = live.endpoint(self.scope, self.scope.names.endpoint)
        except CloudError:
            return ""
        return self.scope.names.version_of(found.config) if found else ""

    def status(self) -> EndpointStatus:
        scope, there = self.scope, live.read(self.scope)
        name, main = scope.names.endpoint, there.main
        resources = self._resources(there)
        if main is None:
            return EndpointStatus("sagemaker", name, "absent", resources=resources)
        details = {
            "region": scope.aws.region,
            "account": scope.aws.account,
            "configuration": main.config,
            **(
                {"on its way": main.pending} if main.pending and main.pending != main.config else {}
            ),
            **({"reason": main.reason} if main.reason else {}),
        }
        version, previous = (
            scope.names.version_of(main.config),
            scope.names.version_of(there.previous),
        )
        return EndpointStatus(
            "sagemaker",
            name,
            main.state,
            scope.aws.url_of(name),
            version,
            previous,
            resources,
            details,
        )

    def _resources(self, there: CurrentState) -> tuple[tuple[str, str, str], ...]:
        endpoints = [("endpoint", e.name, e.state) for e in (there.main, there.candidate) if e]
        configs = [("endpoint configuration", c, _use(c, there)) for c in there.configs]
        models = [("model", model, "kept") for model in there.models]
        logs = [("log group", group, "kept") for group in deletion.log_groups(self.scope)]
        return (*endpoints, *configs, *models, *self._role(), *self._packages(there), *logs)

    def _role(self) -> list[tuple[str, str, str]]:
        if self.scope.config.role:
            return [("role", self.scope.config.role, "given")]
        return [("role", self.scope.names.role, "made")] if live.role(self.scope) else []

    def _packages(self, there: CurrentState) -> list[tuple[str, str, str]]:
        found = [
            storage.packages(self.scope, *place) for place in deletion.places(self.scope, there)
        ]
        return [
            ("package", f"s3://{p.bucket}/{p.prefix}{version}", f"{len(keys)} objects")
            for p in found
            if p
            for version, keys in p.versions().items()
        ] + [
            ("unfinished upload", f"s3://{p.bucket}/{key}", upload[:12])
            for p in found
            if p
            for key, upload in p.uploads
        ]

    def logs(self, lines: int) -> str:
        name = self.scope.names.endpoint
        if live.endpoint(self.scope, name) is None:
            raise NotFound(
                f"AWS {self.scope.aws.region}, endpoint {name}: there is none; deploy.py deploy"
                " makes it"
            )
        return tail(self.scope, name, lines)


def _use(config: str, there: CurrentState) -> str:
    if there.main and config == there.main.config:
        return "serves"
    return "previous" if config == there.previous else "kept"
