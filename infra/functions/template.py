"""The infrastructure of an app as an Azure Resource Manager template, of the very bodies that
`deploy` sends: what deploy.toml says becomes the default values of its parameters.

Names and ids follow from the parameters by expressions, so that one file serves every app. Deployed
over what is there, a template says all, and what it leaves out goes. So the tags that `deploy`
keeps on resources are handed in again, as the parameter `kept`, and settings that others made as
`keptSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from onnxferry.infra.clients.azure_given import Identity
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.functions.desired import DesiredState, audiences, desired_state
from onnxferry.infra.functions.given import Surroundings
from onnxferry.infra.functions.names import DEPLOYED, MADE, VERSION, Names, container
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.functions.tags import given_tags
from onnxferry.infra.functions.template_resources import ACCOUNT, APP, Resources, late_settings
from onnxferry.infra.target_tables import Functions
from onnxferry.infra.templates.arm import (
    Template,
    TemplateResource,
    call,
    declared,
    expression,
    literal,
    parameter,
    quoted,
    variable,
)
from onnxferry.infra.templates.paths import Path, found, placed
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import Package

KEPT = ("account", "packages", "container", "workspace", "component", "plan", "app")
_CONFIG: Path = ("properties", "functionAppConfig")
_SCALE: Path = (*_CONFIG, "scaleAndConcurrency")
# what of the app's body becomes a parameter, where it is there, and the key of deploy.toml
_LIFTED: Mapping[str, tuple[Path, str]] = {
    "python": ((*_CONFIG, "runtime", "version"), ""),
    "instanceMemoryMB": ((*_SCALE, "instanceMemoryMB"), "instance_memory_mb"),
    "maximumInstanceCount": ((*_SCALE, "maximumInstanceCount"), "maximum_instance_count"),
    "httpConcurrency": (
        (*_SCALE, "triggers", "http", "perInstanceConcurrency"),
        "http_concurrency",
    ),
    "alwaysReady": ((*_SCALE, "alwaysReady", 0, "instanceCount"), "always_ready"),
    "subnet": (("properties", "virtualNetworkSubnetId"), "subnet"),
}
_TEXTS = {
    "app": "Name of the function app, which all of Azure shares.",
    "storageAccount": "Name of the storage account, which all of Azure shares.",
    "python": "Version of Python that the package is for.",
    "deployed": "When this is; a tag says so of what is made.",
    "tenant": "Tenant whose tokens are taken.",
    "uploader": "Object id of who may upload packages; empty: nobody is given that role.",
    "uploaderType": "What the uploader is.",
    "kept": "Tags, and metadata of containers, that the resources have and keep.",
    "keptSettings": "Settings that others made in the app, which stay.",
}
_NOW = "[utcNow('yyyy-MM-ddTHH:mm:ss+00:00')]"
_KINDS = ["ServicePrincipal", "User", "Group"]


Tags = Mapping[str, Mapping[str, str]]  # by the keys of KEPT


def template(
    desired: DesiredState, names: Names, config: Functions, kept: Tags, uploader: str = ""
) -> Template:
    """The template of the app of `desired`, with defaults by `config`, and the tags that are
    `kept`. The ids of its resources are those for `uploader`, the object id of who uploads."""
    resources = list(Resources(names, desired, uploader).all())
    parameters = _parameters(names, config, kept)
    (site,) = (r for r in resources if r.kind == "app")
    lifted = dict(_lifted(site, parameters))
    resources[resources.index(site)] = replace(site, document=_with_parameters(site, lifted))
    host = f"{call('reference', call('resourceId', quoted('Microsoft.Web/sites'), APP))}"
    url = call("concat", quoted("https://"), f"{host}.defaultHostName", quoted("/api/score"))
    outputs = {"url": {"type": "string", "value": expression(url)}}
    variables = _variables(desired, names, config)
    return Template({**parameters, **lifted}, variables, tuple(resources), outputs)


def desired_by(
    config: Functions, state: CurrentState, package: Package, around: Surroundings
) -> DesiredState:
    """What deploying `package` would make, where that need not be there yet."""
    bundle = Bundle(package, Golden(Request(b""), None))
    return desired_state(bundle, config, state, around)


def unknown_surroundings(config: Functions) -> Surroundings:
    """Those that nobody was asked for: the template finds them when it is deployed."""
    id_ = config.identity
    identity = Identity(id_, id_.rpartition("/")[2], "CLIENT-ID") if id_ else None
    return Surroundings("", "", identity, "ISSUER")


def nothing_there(names: Names) -> CurrentState:
    """The state before anything is made."""
    return CurrentState(names, AppState(names.app), AppState(names.candidate))


def _parameters(names: Names, config: Functions, kept: Tags) -> dict[str, Any]:
    """Those whose default values stand in no resource."""
    own: dict[str, Any] = {"app": names.app, "storageAccount": names.account}
    made = {name: declared(value, _TEXTS[name]) for name, value in own.items()}
    said = {"location": config.location, "tags": given_tags(config.tags)}
    said["environment"] = dict(config.environment)
    made |= {n: declared(literal(value), _of_config(n)) for n, value in said.items()}
    if config.identity:
        made["identity"] = declared(config.identity, _of_config("identity"))
    if config.auth == "entra":
        tenant = config.tenant or "[subscription().tenantId]"
        made["tenant"] = declared(tenant, _TEXTS["tenant"])
        made["entraClientId"] = declared(config.entra_client_id, _of_config("entra_client_id"))
        allowed = list(audiences(config))
        made["entraAudiences"] = declared(allowed, _of_config("entra_audiences"))
    made["deployed"] = declared(_NOW, _TEXTS["deployed"])
    if not names.given_account:
        made["uploader"] = declared("", _TEXTS["uploader"])
        made["uploaderType"] = declared(_KINDS[0], _TEXTS["uploaderType"], allowedValues=_KINDS)
    tags = {key: literal(dict(kept.get(key, {}))) for key in KEPT}
    made["kept"] = declared(tags, _TEXTS["kept"])
    made["keptSettings"] = {**declared({}, _TEXTS["keptSettings"]), "type": "secureObject"}
    return made


def _variables(desired: DesiredState, names: Names, config: Functions) -> dict[str, Any]:
    name, plain = container(names.app), container(names.app.lower())
    prefix = name[: -len(names.app)]
    follows = plain == f"{prefix}{names.app.lower()}"
    named = expression(call("concat", quoted(prefix), call("toLower", APP)))
    suffix = "environment().suffixes.storage"
    parts = (quoted("https://"), ACCOUNT, quoted(".blob."), suffix, quoted("/"))
    deployed = parameter("deployed")
    own = call("createObject", quoted(MADE), APP, quoted(DEPLOYED), deployed)
    underscored = quoted(DEPLOYED.replace("-", "_"))  # as metadata must be
    metadata = call("createObject", quoted(MADE), APP, underscored, deployed)
    return {
        "container": named if follows else name,
        "containerUrl": expression(call("concat", *parts, variable("container"))),
        "tags": expression(call("union", parameter("tags"), own)),
        "metadata": expression(metadata),
        "appTags": _app_tags(desired),
        "settings": _settings(desired, names, config),
    }


def _app_tags(desired: DesiredState) -> str:
    """Those of all resources, and what else a new app's tags say."""
    common = {*given_tags(desired.tags), MADE, DEPLOYED, VERSION}
    tags = desired.site(desired.names.app)["tags"]
    more = {k: v for k, v in tags.items() if k not in common}
    if not more:
        return expression(variable("tags"))
    pairs = (quoted(text) for pair in more.items() for text in pair)
    return expression(call("union", variable("tags"), call("createObject", *pairs)))


def _settings(desired: DesiredState, names: Names, config: Functions) -> dict[str, Any]:
    """The app's settings but those of `environment` and what is known later."""
    elsewhere = {*late_settings(desired), *config.environment}
    own = {k: v for k, v in desired.settings.items() if k not in elsewhere}
    account = {k: expression(ACCOUNT) for k, v in own.items() if v == names.account}
    return {**literal(own), **account}


def _lifted(site: TemplateResource, known: Mapping[str, Any]) -> Any:
    for name, (path, key) in _LIFTED.items():
        value = found(site.document, path)
        if value is not None and name not in known:
            yield name, declared(value, _of_config(key) or _TEXTS[name], **_choices(key))


def _with_parameters(site: TemplateResource, lifted: Mapping[str, Any]) -> Any:
    document: Any = site.document
    for name in lifted:
        document = placed(document, _LIFTED[name][0], expression(parameter(name)))
    return document


def _of_config(key: str) -> str:
    about = Functions.model_fields[key].description if key else ""
    return " ".join((about or "").split())


def _choices(key: str) -> dict[str, Any]:
    values = get_args(Functions.model_fields[key].annotation) if key else ()
    choices = [value for value in values if isinstance(value, int)]
    return {"allowedValues": choices} if choices else {}
