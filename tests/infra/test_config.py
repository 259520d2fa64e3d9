"""deploy.toml, environment and flags: which wins, and every mistake at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from onnxferry.infra import config
from onnxferry.infra.config import load, settings_of
from onnxferry.infra.nested_tables import keys
from onnxferry.infra.starter import init
from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.target_tables.sagemaker import RealTime
from onnxferry.scripts.model_table import ModelTable
from onnxferry.system.errors import UsageError

GUID = "00000000-0000-0000-0000-000000000001"
SCHEMA = Path(config.__file__).with_name("deploy.schema.json")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.toml"
    path.write_text(
        '[model]\nname = "squad"\n[sagemaker]\nregion = "eu-west-1"\n'
        "serving = {instance_count = 2}\n"
    )
    return path


def test_flags_over_environment_over_file(file: Path) -> None:
    environment = {
        "ONNXFERRY_SAGEMAKER_REGION": "eu-west-2",
        "ONNXFERRY_SAGEMAKER_SERVING_INSTANCE_COUNT": "3",
    }
    table = load("sagemaker", file, {"sagemaker.region": "us-east-1"}, environment).sagemaker
    assert table is not None
    assert isinstance(table.serving, RealTime)
    assert (table.region, table.serving.instance_count, table.serving.instance_type) == (
        "us-east-1",
        3,
        "ml.m5.large",
    )


def test_without_a_file_all_is_default(tmp_path: Path) -> None:
    found = load("sagemaker", tmp_path / "none.toml")
    assert found.sagemaker is not None
    assert found.azureml is None


def test_all_mistakes_at_once(file: Path) -> None:
    file.write_text(
        '[model]\nnames = "x"\n[sagemaker]\nregion = "nowhere"\n'
        "serving = {instance_count = 0}\npassword ="
        ' "hunter2"\n[cloud]\n'
    )
    with pytest.raises(UsageError) as caught:
        load(
            "functions",
            file,
            {"functions.location": "West Europe"},
            {"ONNXFERRY_SAGEMAKER_TYPE": "ml.m5.large"},
        )
    text = str(caught.value)
    for line in (
        f"model.names ({file}): no such key; known: {', '.join(sorted(ModelTable.model_fields))}",
        f"sagemaker.region ({file})",
        "got 'nowhere'",
        "sagemaker.serving.instance_count",
        "greater than or equal to 1; got 0",
        "sagemaker.password",
        "sagemaker.type (ONNXFERRY_SAGEMAKER_TYPE): no such key",
        "functions.subscription: needed",
        "ONNXFERRY_FUNCTIONS_SUBSCRIPTION",
        "functions.location (--set functions.location)",
        "cloud",
    ):
        assert line in text
    assert "hunter2" not in text
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_toml(file: Path) -> None:
    file.write_text("region: eu-west-1")
    with pytest.raises(UsageError, match=r"deploy\.toml: not readable as TOML"):
        load("sagemaker", file)


def test_a_table_that_is_no_table(file: Path) -> None:
    file.write_text('sagemaker = "eu-west-1"')
    with pytest.raises(UsageError, match="sagemaker"):
        load("sagemaker", file, {"sagemaker.region": "eu-west-1"})


def test_a_setting_without_table_is_the_targets() -> None:
    assert settings_of(["region=eu-west-1", "model.name=squad"], "sagemaker") == {
        "sagemaker.region": "eu-west-1",
        "model.name": "squad",
    }
    with pytest.raises(UsageError, match="KEY=VALUE"):
        settings_of(["region"], "sagemaker")


def test_other_variables_of_ours_are_no_settings() -> None:
    found = load("sagemaker", Path("none.toml"), {}, {"ONNXFERRY_CACHE": "somewhere", "PATH": "x"})
    assert found == config.DeployConfig(sagemaker=SageMaker())


@pytest.mark.parametrize("target", ["azureml", "functions", "sagemaker"])
def test_the_starter_says_every_key_and_loads_once_filled_in(tmp_path: Path, target: str) -> None:
    file = init(tmp_path / "deploy.toml", target)
    text = file.read_text()
    assert not any("  " in line for line in text.splitlines())
    for key in keys((config.TABLES[target],)):
        name = key.path[-1]
        if key.tables:
            assert f"\n# [{target}.{name}]\n" in text
        else:
            assert f"\n# {name} = " in text or f"\n{name} = " in text
    filled = text.replace('subscription = ""', f'subscription = "{GUID}"').replace(
        'resource_group = ""', 'resource_group = "rg"'
    )
    file.write_text(filled.replace('workspace = ""', 'workspace = "ws1"'))
    assert getattr(load(target, file), target) is not None


def test_the_starter_adds_a_table_and_keeps_the_rest(file: Path) -> None:
    before = file.read_text()
    init(file, "azureml")
    assert file.read_text().startswith(before.rstrip())
    with pytest.raises(UsageError, match=r"has a \[azureml\] table already"):
        init(file, "azureml")


def test_the_schema_for_editors_is_current() -> None:
    assert json.loads(SCHEMA.read_text()) == config.schema(), (
        f"write it again: python -m infra.config > {SCHEMA.name}"
    )
    Draft202012Validator.check_schema(config.schema())


def test_the_schema_agrees_with_the_validation() -> None:
    validator = Draft202012Validator(config.schema())
    assert validator.is_valid({"sagemaker": {"region": "eu-west-1"}})
    assert not validator.is_valid({"sagemaker": {"region": "nowhere"}})
    assert not validator.is_valid({"sagemaker": {"regoin": "eu-west-1"}})
    assert not validator.is_valid({"azureml": {"workspace": "ws1"}})


SUBNET = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("always_ready = 50", "always_ready (50) is more than maximum_instance_count (40)"),
        ("maximum_instance_count = 0", "greater than or equal to 1"),
        (f'subnet = "{SUBNET}my_apps"', "no subnet with an underscore in its name; got my_apps"),
        ('subnet = "apps"', "delegated to Microsoft.App/environments.]"),  # on the same line
        ('auth = "entra"', 'auth = "entra" and entra_client_id go together'),
        ('entra_audiences = ["api://x"]', 'entra_audiences needs auth = "entra"'),
        ('entra_audiences = [""]', "entra_audiences.0"),
        ('url_hosts = ["example.com"]', "url_hosts needs allow_urls = true"),
        ('environment = { ONNXFERRY_FUNCTIONS_AUTH = "anonymous" }', "the key auth of this table"),
        ('environment = { onnxferry_urls_allow = "true" }', "the key allow_urls of this table"),
        ('environment = { ONNXFERRY_URLS_HOSTS = "a.com" }', "the key url_hosts of this table"),
    ],
)
def test_what_a_function_app_cannot_be_is_told_without_a_network(
    file: Path, settings: str, says: str
) -> None:
    needed = f'subscription = "{GUID}"\nresource_group = "rg"\n'
    file.write_text(f"[functions]\n{needed}{settings}\n")
    with pytest.raises(UsageError) as caught:
        load("functions", file)
    assert says in str(caught.value)


@pytest.mark.parametrize("given", ["sub", "/subscriptions/s/resourceGroups/g"])
def test_an_id_of_azure_is_asked_for_by_an_example(given: str) -> None:
    flags = {"functions.subscription": "0" * 8 + "-0000" * 3 + "-" + "0" * 12}
    flags |= {"functions.resource_group": "g", "functions.subnet": given}
    with pytest.raises(UsageError) as caught:
        load("functions", Path("none.toml"), flags)
    like = "expected one like /subscriptions/.../resourceGroups/.../providers/Microsoft.Network"
    assert f"functions.subnet (--set functions.subnet): {like}/virtualNetworks/.../subnets/..." in (
        str(caught.value)
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("rollout = {shadow = 20}", "add a table [sagemaker.capture]"),
        (
            "rollout = {shadow = 20}\ncapture = {}\nserving = {variants = {b = {}}}",
            "leave serving.variants out",
        ),
        ('rollout = {shadow = 20}\nserving = {mode = "async"}', "has no shadow"),
        ('capture = {}\nserving = {mode = "async"}', "has no data capture"),
        ('capture = {}\nserving = {mode = "serverless"}', "no data capture"),
    ],
)
def test_a_shadow_and_captured_data_are_refused_where_there_are_none(
    tmp_path: Path, settings: str, says: str
) -> None:
    path = tmp_path / "deploy.toml"
    path.write_text(f"[sagemaker]\n{settings}\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load("sagemaker", path)
    assert says in str(caught.value)
