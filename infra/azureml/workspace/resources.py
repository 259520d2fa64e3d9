"""The resources of a workspace's template: the parts, and the roles without which nothing works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.workspace import bodies
from onnxferry.infra.azureml.workspace.names import MADE, PARTS, WorkspaceNames
from onnxferry.infra.clients import azure_bodies, azure_roles
from onnxferry.infra.clients.azure_roles import Principal
from onnxferry.infra.templates.arm import (
    TemplateResource,
    call,
    expression,
    parameter,
    quoted,
    variable,
)
from onnxferry.infra.templates.arm_resources import (
    Assignee,
    Scope,
    after,
    resource,
    role_assignment,
)

COMPUTES = "Microsoft.MachineLearningServices/workspaces/computes"
_SPACE, _PLAIN = parameter("workspace"), variable("plain")
_NAMES = {  # as expressions
    "logs": call("concat", _PLAIN, quoted("-logs")),
    "insights": call("concat", _PLAIN, quoted("-insights")),
    "account": parameter("storageAccount"),
    "vault": parameter("keyVault"),
    "registry": parameter("registry"),
    "identity": call("concat", _SPACE, quoted("-endpoints")),
    "workspace": _SPACE,
}
_WRITES, _DEPLOYER = parameter("identityWrites"), parameter("deployer")
_GIVEN = call("not", call("empty", _DEPLOYER))
_STANDS_ON = {  # properties of the workspace
    "storageAccount": "account",
    "keyVault": "vault",
    "containerRegistry": "registry",
    "applicationInsights": "insights",
}


def part_id(part: str) -> str:
    """The id of a part, as an expression."""
    return call("resourceId", quoted(PARTS[part].type), _NAMES[part])


@dataclass(frozen=True)
class Resources:
    """Those of the workspace of `names`. Endpoints run as the identity `given`, an id, or as one
    that is made; `deployer` is the object id of who may deploy ("" for nobody), `compute` the name
    of the cluster for batch jobs."""

    names: WorkspaceNames
    given: str = ""
    deployer: str = ""
    compute: str = ""

    def all(self) -> Iterator[TemplateResource]:
        """Each behind those that it stands on."""
        yield self._part("logs", azure_bodies.log_workspace(_place("logs")))
        logs = expression(part_id("logs"))
        yield self._part("insights", bodies.insights_component(_place("insights"), logs), "logs")
        keys = expression(parameter("sharedKeys"))
        yield self._part("account", bodies.storage_account(_place("account"), keys))
        yield self._part("vault", {**_place("vault"), "properties": _vault()})
        sku = expression(parameter("registrySku"))
        yield self._part("registry", bodies.registry(_place("registry"), sku))
        if not self.given:
            yield self._part("identity", _place("identity"))
        yield self._workspace()
        yield from self._roles_of_identity()
        yield self._cluster()
        yield from self._roles_of_deployer()

    @property
    def identity(self) -> str:
        """The id of the endpoints' identity, as an expression."""
        return parameter("identity") if self.given else part_id("identity")

    def _part(self, part: str, body: Any, *behind: str) -> TemplateResource:
        head = {"apiVersion": PARTS[part].version, "name": expression(_NAMES[part])}
        head |= after(*map(part_id, behind)) if behind else {}
        return resource(PARTS[part].kind, self.names.id(part), head | body)

    def _workspace(self) -> TemplateResource:
        ids = {key: expression(part_id(part)) for key, part in _STANDS_ON.items()}
        modes = (parameter("sharedKeys"), quoted("AccessKey"), quoted("Identity"))
        own = {
            **ids,
            "publicNetworkAccess": expression(parameter("publicNetworkAccess")),
            "systemDatastoresAuthMode": expression(call("if", *modes)),
        }
        body = bodies.workspace(_place("workspace"), own)
        return self._part("workspace", body, *_STANDS_ON.values())

    def _cluster(self) -> TemplateResource:
        low = (parameter("batchLowPriority"), quoted("LowPriority"), quoted("Dedicated"))
        facts = (parameter("batchSize"), call("if", *low), parameter("batchNodes"))
        head: dict[str, Any] = {"condition": expression(parameter("batchCluster"))}
        name = call("concat", _SPACE, quoted("/"), parameter("batchCompute"))
        head |= {"apiVersion": PARTS["workspace"].version, "name": expression(name)}
        made = () if self.given else (part_id("identity"),)
        head |= after(part_id("workspace"), *made)
        place = {"location": expression(parameter("location"))}
        body = bodies.compute_cluster(place, expression(self.identity), *map(expression, facts))
        id_ = f"{self.names.id('workspace')}/computes/{self.compute}"
        return resource("cluster", id_, head | body)

    def _roles_of_identity(self) -> Iterator[TemplateResource]:
        """What an identity that is made by the user must be given, since the service does not."""
        rows = (
            (azure_roles.ACR_PULL, "registry", ""),
            (azure_roles.BLOB_READER, "account", call("not", _WRITES)),
            (azure_roles.BLOB_CONTRIBUTOR, "account", _WRITES),
            (azure_roles.ML_METRICS_WRITER, "workspace", ""),
        )
        for role, part, condition in rows:
            yield role_assignment(
                role, self._scope(part), self._runner(condition), f"{role} of endpoints"
            )

    def _roles_of_deployer(self) -> Iterator[TemplateResource]:
        """What `deploy` needs in the workspace, and no more."""
        rows = [
            (azure_roles.READER, "workspace"),
            (azure_roles.ML_DATA_SCIENTIST, "workspace"),
            (azure_roles.BLOB_CONTRIBUTOR, "account"),
        ]
        rows += [] if self.given else [(azure_roles.IDENTITY_OPERATOR, "identity")]
        for role, part in rows:
            yield role_assignment(
                role, self._scope(part), self._user(_GIVEN), f"{role} of deployer"
            )
        group = Scope(self.names.group_id, "resourceGroup().id")
        scales = call("and", _GIVEN, parameter("deployerScales"))
        role = azure_roles.MONITORING_CONTRIBUTOR
        yield role_assignment(role, group, self._user(scales), f"{role} of deployer")

    def _scope(self, part: str) -> Scope:
        id_ = part_id(part)
        return Scope(self.names.id(part), id_, (id_,))

    def _runner(self, condition: str) -> Assignee:
        """The endpoints' identity."""
        version = quoted(PARTS["identity"].version)
        principal = f"{call('reference', self.identity, version)}.principalId"
        who = Principal("", named=self.given or self.names.id("identity"))
        before = () if self.given else (part_id("identity"),)
        said = _said(" endpoints")
        return Assignee(who, principal, self.identity, said, condition=condition, before=before)

    def _user(self, condition: str) -> Assignee:
        """Who deploys, where somebody is given."""
        kind, said = expression(parameter("deployerType")), _said(" deployer")
        return Assignee(Principal(self.deployer), _DEPLOYER, _DEPLOYER, said, kind, condition)


def _vault() -> str:
    """The properties of a key vault that is made, or recovered: how is said in that case alone, for
    Azure's preview would call it a change."""
    recover = call("createObject", quoted("createMode"), quoted("recover"))
    how = call("if", parameter("vaultRecover"), recover, call("createObject"))
    return expression(call("union", variable("vault"), how))


def _said(whose: str) -> str:
    return call("concat", quoted(f"{MADE}: "), _SPACE, quoted(whose))


def _place(part: str) -> dict[str, Any]:
    """Location and tags: those that the part has, and keeps, are in the parameter `kept`."""
    kept = f"{parameter('kept')}.{part}"
    tags = expression(call("union", variable("tags"), kept))
    return {"location": expression(parameter("location")), "tags": tags}
