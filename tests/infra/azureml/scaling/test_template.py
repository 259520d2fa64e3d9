"""The autoscale setting as an ARM template, for those who deploy by `az ml`."""

from __future__ import annotations

from onnxferry.infra.azureml.scaling.template import autoscale_template
from onnxferry.infra.cloud import Bundle
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.autoscale import SETTINGS
from tests.fakes.azure.providers.machinelearning import DEPLOYMENTS, MachineLearning
from tests.fakes.azure.templates.expressions import Context, evaluated
from tests.infra.azureml.conftest import NAME, config, connected, deploy
from tests.infra.azureml.test_kubernetes import SERVING

TIMES = [{"at": "cron(0 8 ? * MON-FRI *)", "timezone": "Asia/Tokyo", "min": 3}]


def test_azure_takes_it_for_a_deployment_of_any_name(
    ml: MachineLearning, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    cloud = connected()
    deploy(cloud, versions["a"])
    (deployment,) = azure.store.all(DEPLOYMENTS)
    settings = config(scaling={"max": 4, "target": 70, "cpu_percent": 60, "schedule": TIMES})
    assert settings.azureml
    template = autoscale_template(settings.azureml, None, NAME, "blue")
    assert template
    defaults = {name: facts["defaultValue"] for name, facts in template["parameters"].items()}
    assert (defaults["workspace"], defaults["deployment"]) == ("work", "blue")
    given = {**defaults, "deployment": deployment["name"], "location": "westeurope"}
    context = Context(SUBSCRIPTION, "rg", "", "", given, {}, lambda *_: None)
    (resource,) = evaluated(template["resources"], context)
    body = {key: resource[key] for key in ("location", "properties")}
    cloud.clients.monitor.put_autoscale_setting(  # type: ignore[attr-defined]
        "rg", resource["name"], body
    )
    (made,) = azure.store.all(SETTINGS)
    assert made["name"] == f"autoscale-squad-{deployment['name']}"
    assert made["properties"]["targetResourceUri"] == deployment["id"]
    assert made["properties"]["profiles"][1]["capacity"]["minimum"] == "3"


def test_there_is_none_where_nothing_scales_by_azure_monitor() -> None:
    for changes in ({}, {"serving": SERVING, "scaling": {"max": 3}}):
        settings = config(**changes).azureml
        assert settings and autoscale_template(settings, None, NAME, "blue") is None
