"""The fake's template deployments: what they refuse, as the resource manager does or more
strictly, and how they end."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.resource.deployments import DeploymentsMgmtClient

from onnxferry.infra import templates
from onnxferry.infra.clients.azure_deployments import Deployments
from onnxferry.infra.errors import CloudError, NotFound
from tests.fakes.azure.templates.expressions import Context, TemplateError, evaluated
from tests.fakes.azure.templates.template import unresolved
from tests.infra.functions.azure_account import GROUP, AzureAccount, azure_account

FILE = Path(templates.__file__).parent / "azure" / "functions.json"
VALUES = {"app": "squad", "storageAccount": "squad123"}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def account() -> Iterator[AzureAccount]:
    with azure_account() as made:
        made.cloud().clients.groups.create(GROUP, "westeurope", {})
        yield made


@pytest.fixture
def deployments(account: AzureAccount) -> Deployments:
    return Deployments(account.cloud().clients.session, GROUP)


@pytest.fixture
def document() -> Document:
    found: Document = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def resource(document: Document, type_: str) -> Document:
    found: Document = next(one for one in document["resources"] if one["type"] == type_)
    return found


def unknown_function(document: Document) -> None:
    document["variables"]["container"] = "[uniqueString('x')]"


def wrong_version(document: Document) -> None:
    resource(document, "Microsoft.Web/sites")["apiVersion"] = "2018-01-01"


def no_depends_on(document: Document) -> None:
    resource(document, "Microsoft.Authorization/roleAssignments").pop("dependsOn")


def no_parent(document: Document) -> None:
    resource(document, "Microsoft.Web/sites/config")["dependsOn"].pop(0)


def no_plan(document: Document) -> None:
    resource(document, "Microsoft.Web/sites")["dependsOn"].pop(0)


def unknown_dependency(document: Document) -> None:
    resource(document, "Microsoft.Web/serverfarms")["dependsOn"] = ["/subscriptions/x"]


def unknown_parameter(document: Document) -> None:
    document["parameters"].pop("instanceMemoryMB")


def not_allowed(document: Document) -> None:
    document["parameters"]["instanceMemoryMB"]["defaultValue"] = 1024


def wrong_type(document: Document) -> None:
    document["parameters"]["maximumInstanceCount"]["defaultValue"] = "40"


def reference_in_a_name(document: Document) -> None:
    resource(document, "Microsoft.Web/serverfarms")["name"] = "[reference('x', 'y').name]"


def twice(document: Document) -> None:
    document["resources"].append(copy.deepcopy(resource(document, "Microsoft.Web/serverfarms")))


def other_keys(document: Document) -> None:
    document["comment"] = "none"


WRONG: dict[Callable[[Document], None], str] = {
    unknown_function: r"function 'uniqueString' is not valid",
    wrong_version: r"API version '2018-01-01' of type 'Microsoft.Web/sites'",
    no_depends_on: r"not in its dependsOn",
    no_parent: r"not in its dependsOn",
    no_plan: r"not in its dependsOn",
    unknown_dependency: r"is not defined in the template",
    unknown_parameter: r"parameter 'instanceMemoryMB' is not found",
    not_allowed: r"'instanceMemoryMB' is not allowed",
    wrong_type: r"maximumInstanceCount: int is expected",
    reference_in_a_name: r"'reference' is not expected here",
    twice: r"defined multiple times",
    other_keys: r"other keys",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_an_invalid_template_is_refused_before_anything_is_made(
    spoil: Callable[[Document], None],
    account: AzureAccount,
    deployments: Deployments,
    document: Document,
) -> None:
    spoil(document)
    with pytest.raises(CloudError, match=rf"InvalidTemplate: .*{WRONG[spoil]}"):
        deployments.what_if("x", document, VALUES)
    with pytest.raises(CloudError, match=WRONG[spoil]):
        deployments.begin("x", document, VALUES)
    assert account.kinds() == [f"resourceGroups {GROUP}"]


def test_names_must_be_given(deployments: Deployments, document: Document) -> None:
    with pytest.raises(CloudError, match="'storageAccount' is not provided"):
        deployments.what_if("x", document, {"app": "squad"})
    with pytest.raises(CloudError, match=r"\['other'\] are not valid"):
        deployments.what_if("x", document, {**VALUES, "other": 1})


def test_a_property_that_its_provider_does_not_know(
    account: AzureAccount, deployments: Deployments, document: Document
) -> None:
    resource(document, "Microsoft.Web/serverfarms")["properties"]["zones"] = 3
    before = account.snapshot()
    assert deployments.begin("x", document, VALUES)
    while deployments.state("x") not in ("Failed", "Succeeded"):
        pass
    assert "squad-plan: Microsoft.Web/serverfarms: properties.zones: unknown field" in str(
        deployments.failure("x")
    )
    account.restore(before)


def test_one_at_a_time_and_an_end_to_it(
    account: AzureAccount, deployments: Deployments, document: Document
) -> None:
    before = account.snapshot()
    assert deployments.begin("x", document, VALUES)
    assert not deployments.begin("x", document, VALUES)
    client = DeploymentsMgmtClient(
        api_version="2026-06-01", **account.cloud().clients.session.options
    )
    client.deployments.cancel(GROUP, "x")
    assert deployments.state("x") == "Canceled"
    wanted = {"mode": "Incremental", "template": document}
    given = {name: {"value": value} for name, value in VALUES.items()}
    body = {"properties": {**wanted, "parameters": given}}
    assert client.deployments.begin_validate(GROUP, "x", body).result()
    body["properties"]["mode"] = "Complete"
    with pytest.raises(Exception, match="only Incremental"):
        client.deployments.begin_validate(GROUP, "x", body).result()
    account.restore(before)


def test_there_is_none(deployments: Deployments) -> None:
    assert deployments.state("never") == ""
    with pytest.raises(NotFound, match="never"):
        deployments.operations("never")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[concat('it''s ', 'a', 1)]", "it's a1"),
        ("[[not an expression]", "[not an expression]"),
        ("[no expression", "[no expression"),
        ("[createObject('a', 1).a]", 1),
        ("[createObject('a', 1)['a']]", 1),
        ("[not(empty(''))]", False),
        ("[union(createObject('a', 1), createObject('a', 2))]", {"a": 2}),
        ("[guid('a', 'b')]", "2d796349-8c7e-55ec-9624-54ece82ed031"),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    context = Context("s", "g", "x", "y", {}, {}, unresolved)
    assert evaluated(text, context) == value


@pytest.mark.parametrize(
    "text", ["[concat('a']", "[concat('a') 'b']", '[concat("a")]', "[createObject('a').b]", "[)]"]
)
def test_what_is_no_expression(text: str) -> None:
    context = Context("s", "g", "x", "y", {}, {}, unresolved)
    with pytest.raises(TemplateError):
        evaluated(text, context)
