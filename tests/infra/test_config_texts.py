"""Every key of every table may be set by a flag and by a variable, and then means what the file
would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from onnxferry.infra import config
from onnxferry.infra.config import TABLES, load, settings_of
from onnxferry.infra.nested_tables import tables_in, tags_of
from onnxferry.system.errors import UsageError

GUID = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{GUID}/resourceGroups/g/providers"
SUBNETS, GROUPS = ("subnet-0a1b2c3d", "subnet-0a1b2c3e"), ("sg-0a1b2c3d",)
TEXTS: dict[str, Any] = {  # for keys with a pattern of their own
    "region": "eu-west-1",
    "role": "arn:aws:iam::123456789012:role/serving",
    "instance_type": {
        "sagemaker": "ml.c5.large",
        "azureml": "Standard_DS3_v2",
        "Kubernetes": "small",
    },
    "subscription": GUID,
    "tenant": GUID.replace("1", "2"),
    "name": "squad-2",
    "resource_group": "rg",
    "workspace": "work",
    "path": "models/squad",
    "catalog_schema": "main.ml",
    "subnet": f"{GROUP}/Microsoft.Network/virtualNetworks/v/subnets/s",
    "identity": f"{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/i",
    "auth": "anonymous",
    "permissions_boundary": "arn:aws:iam::123456789012:policy/bound",
    "subnets": SUBNETS,
    "security_groups": GROUPS,
    "kms_key": "alias/serving",
    "output": "s3://bucket/answers/",
    "inputs": {"sagemaker": ("s3://bucket/requests/",), "model": "abc4"},
    "success_topic": "arn:aws:sns:eu-west-1:123456789012:done",
    "error_topic": "arn:aws:sns:eu-west-1:123456789012:failed",
    "variants": {"large": {"instance_type": "ml.m5.xlarge", "weight": 0.5}},
    "schedule": ({"at": "cron(0 8 * * ? *)", "min": 2},),
    "entra_client_id": GUID,
}
SCALING = ("min", "cpu_percent", "target", "scale_out_seconds", "scale_in_seconds", "schedule")
WITH: dict[str, dict[str, Any]] = {  # what a key is nothing without
    "entra_client_id": {"auth": "entra"},
    "entra_audiences": {"auth": "entra", "entra_client_id": GUID},
    "url_hosts": {"allow_urls": True},
    **{key: {"max": 9} for key in SCALING},
    "subnets": {"security_groups": GROUPS},
    "security_groups": {"subnets": SUBNETS},
}
COMPUTE = {
    "Kubernetes": {"compute": "cluster", "cpu": 3, "memory_mb": 512}
}  # what a table is nothing without
CAPTURED = ("capture", "percent", "50")
BESIDE = {"shadow": CAPTURED, "mirror": CAPTURED}  # a key of another table that it needs
MANY = {"object": {"TEAM": "ml", "COST_CENTER": "a b"}, "array": ("a.example", "b.example")}
NEEDED = {
    "azureml": {"subscription": GUID, "resource_group": "g", "workspace": "ws1"},
    "functions": {"subscription": GUID, "resource_group": "g"},
}


def places(table: str) -> Iterator[tuple[str, type[BaseModel] | None, str]]:
    """Each table that may be in `table`, by its key, and each key in it; the key is "" and the
    table None for the keys of `table` itself."""
    for key, field in TABLES[table].model_fields.items():
        inner = tables_in(field)
        yield from [(key, one, name) for one in inner for name in one.model_fields]
        if not inner:
            yield "", None, key


KEYS = [(table, *place) for table in TABLES for place in places(table)]
IDS = [
    ".".join(filter(None, (table, holder, model.__name__ if model else "", key)))
    for table, holder, model, key in KEYS
]


def sample(table: str, model: type[BaseModel], key: str) -> Any:
    """A value other than the default, as deploy.toml has it."""
    schema = model.model_json_schema()["properties"][key]
    kind = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
    default = schema.get("default")
    if key in TEXTS:
        found = TEXTS[key]
        by = [found[n] for n in (model.__name__, table) if isinstance(found, dict) and n in found]
        return by[0] if by else found
    if choices := kind.get("enum", [kind["const"]] if "const" in kind else []):
        return next((choice for choice in reversed(choices) if choice != default), default)
    if kind["type"] == "boolean":
        return not default
    if kind["type"] in ("integer", "number"):
        low = kind.get("minimum", 1)
        return low + 1 if low + 1 != default else low + 2
    if kind["type"] in MANY:
        return MANY[kind["type"]]
    assert re.fullmatch(kind.get("pattern", ".*"), "abc4"), f"{table}.{key}: give a sample in TEXTS"
    return "abc4"


def texts(value: Any) -> Iterator[str]:
    """The ways to write a value as text."""
    if isinstance(value, dict):
        if all(isinstance(text, str) for text in value.values()):
            yield ",".join(f"{name}={text}" for name, text in value.items())
        yield json.dumps(value)
    elif isinstance(value, tuple):
        if all(isinstance(text, str) for text in value):
            yield ", ".join(value)
        yield json.dumps(value)
    else:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def loaded(table: str, given: dict[str, Any], **more: Any) -> Any:
    """The table, with what is needed besides `given`, which stands in the file's place."""
    target = "sagemaker" if table == "model" else table
    flags = {f"{table}.{key}": text for key, text in NEEDED.get(table, {}).items()}
    flags |= more.get("flags", {})
    if given:
        return getattr(
            config.ALL.model_validate({table: {**NEEDED.get(table, {}), **given}}), table
        )
    return getattr(load(target, Path("none.toml"), flags, more.get("environment")), table)


@pytest.mark.parametrize(("table", "holder", "model", "key"), KEYS, ids=IDS)
def test_each_key_by_flag_and_by_variable(
    table: str, holder: str, model: type[BaseModel] | None, key: str
) -> None:
    value = sample(table, model or TABLES[table], key)
    tags = tags_of(model) if model else ()
    always = COMPUTE.get(model.__name__, {}) if model else {}
    needed = {**({"mode": tags[0]} if tags else {}), **always, **WITH.get(key, {})}
    inside = {**needed, key: value}
    beside = [BESIDE[key]] if key in BESIDE else []
    tables = {one: {name: other} for one, name, other in beside}
    expected = loaded(table, ({holder: inside} if holder else inside) | tables)
    where = f"{table}.{holder}" if holder else table
    for text in texts(value):
        others = {name: other for name, other in needed.items() if name != key}
        given = {f"{where}.{name}": next(texts(other)) for name, other in others.items()}
        given |= {f"{table}.{one}.{name}": other for one, name, other in beside}
        flags = {**given, **settings_of([f"{where}.{key}={text}"], "azureml")}
        assert loaded(table, {}, flags=flags) == expected
        if key not in NEEDED.get(table, {}):  # these are given by flag above, which wins
            name = f"ONNXFERRY_{where}_{key}".replace(".", "_").upper()
            assert loaded(table, {}, flags=given, environment={name: text}) == expected


def test_a_sample_is_no_default() -> None:
    for table, _, model, key in KEYS:
        fields = (model or TABLES[table]).model_fields
        one_choice = model and key == "mode" and len(tags_of(model)) == 1
        assert one_choice or sample(table, model or TABLES[table], key) != fields[key].default


def test_a_key_that_is_elsewhere_is_told(tmp_path: Path) -> None:
    said = "There is sagemaker.serving.instance_type"
    with pytest.raises(UsageError, match=re.escape(said)):
        load("sagemaker", tmp_path / "none.toml", {"sagemaker.instance_type": "ml.m5.large"})


def test_a_mistake_in_a_table_that_is_one_of_several_names_no_tag(tmp_path: Path) -> None:
    flags = {"sagemaker.serving.mode": "serverless", "sagemaker.serving.memory_mb": "2000"}
    with pytest.raises(UsageError) as caught:
        load("sagemaker", tmp_path / "none.toml", flags)
    assert "sagemaker.serving.memory_mb (--set sagemaker.serving.memory_mb): " in str(caught.value)
    with pytest.raises(
        UsageError, match=r"no such key; known where mode = \"serverless\": max_concurrency"
    ):
        load(
            "sagemaker", tmp_path / "none.toml", {**flags, "sagemaker.serving.instance_count": "2"}
        )


def test_one_entry_of_a_table_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    file.write_text('[sagemaker]\ntags = {team = "ml", stage = "test"}\n')
    given = ["tags.stage=prod", "sagemaker.tags.cost.center=4=2", "environment.TEAM=a,b"]
    table = load("sagemaker", file, settings_of(given, "sagemaker")).sagemaker
    assert table
    assert table.tags == {"team": "ml", "stage": "prod", "cost.center": "4=2"}
    assert table.environment == {"TEAM": "a,b"}
    whole = load("sagemaker", file, {}, {"ONNXFERRY_SAGEMAKER_TAGS": "owner=me"}).sagemaker
    assert whole
    assert whole.tags == {"owner": "me"}


MISTAKES = {
    "aws:owner": ("sagemaker", "ml", "names that begin with aws: are reserved"),
    "AWS:team": ("sagemaker", "ml", "names that begin with aws: are reserved"),
    "onnxferry:version": ("sagemaker", "1", "names that begin with onnxferry are reserved"),
    "team!": ("sagemaker", "ml", "a tag's name has letters, digits, spaces"),
    "team": ("sagemaker", "a;b", "a tag's value has letters, digits, spaces"),
    "n" * 129: ("sagemaker", "ml", "at most 128 characters here; got 129"),
    "owner": ("sagemaker", "v" * 257, "at most 256 characters; got 257"),
    "microsoft-team": ("azureml", "ml", "names that begin with microsoft are reserved"),
    "a/b": ("azureml", "ml", "a tag's name has any characters but"),
    "m" * 513: ("azureml", "ml", "at most 512 characters here; got 513"),
    "s" * 129: ("functions", "ml", "at most 128 characters here; got 129"),
}


def test_tags_that_a_cloud_refuses_are_refused_here_all_at_once(tmp_path: Path) -> None:
    flags = {
        f"{table}.{key}": text for table in NEEDED for key, text in NEEDED[table].items()
    }  # fmt: skip
    flags |= {f"{table}.tags.{name}": value for name, (table, value, _) in MISTAKES.items()}
    flags |= {"functions.tags.Team": "a", "functions.tags.team": "b"}
    with pytest.raises(UsageError) as caught:
        load("sagemaker", tmp_path / "none.toml", flags)
    for name, (table, _, said) in MISTAKES.items():
        path = f"{table}.tags.{name}"
        assert f"{path} (--set {path}): " in str(caught.value)
        assert said in str(caught.value)
    assert str(caught.value).count("given twice, in other capitals") == 2


@pytest.mark.parametrize("table", ["sagemaker", "azureml", "functions"])
def test_as_many_tags_as_there_is_room_for(table: str) -> None:
    many = {f"tag {i}": "Größe 4 _.:/=+-@" for i in range(40)}
    assert loaded(table, {"tags": many}).tags == many
    flags = {f"{table}.tags": ",".join(f"t{i}=x" for i in range(41))}
    with pytest.raises(UsageError, match="41 tags; a cloud takes 50, of which 40 are yours"):
        loaded(table, {}, flags=flags)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"mode": "batch"}, "mode is one of 'realtime', 'serverless', 'async'; got 'batch'"),
        ({"": "async"}, "it is a table, whose key mode is one of"),
        (
            {"mode": "serverless", "instance_type": "ml.m5.large"},
            'known where mode = "serverless": max_concurrency, memory_mb, mode,'
            ' provisioned_concurrency. It is a key of mode = "realtime" or "async"',
        ),
    ],
)
def test_a_mode_has_its_own_keys(tmp_path: Path, flags: dict[str, str], said: str) -> None:
    given = {f"sagemaker.serving.{key}".rstrip("."): value for key, value in flags.items()}
    with pytest.raises(UsageError) as caught:
        load("sagemaker", tmp_path / "none.toml", given)
    assert said in str(caught.value)


def test_all_that_does_not_go_together_is_said(tmp_path: Path) -> None:
    wrong = {"serving.mode": "serverless", "rollout.traffic": "canary", "rollout.shadow": "5"}
    given = {f"sagemaker.{key}": value for key, value in wrong.items()}
    with pytest.raises(UsageError, match=r"no data capture and no shadow.*; .*has no steps"):
        load("sagemaker", tmp_path / "none.toml", given)
