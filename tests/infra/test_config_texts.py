"""Every key of every table may be set by a flag and by a variable, and then means what the file
would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry.infra import config
from onnxferry.infra.config import TABLES, load, settings_of
from onnxferry.system.errors import UsageError

GUID = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{GUID}/resourceGroups/g/providers"
TEXTS: dict[str, Any] = {  # for keys with a pattern of their own
    "region": "eu-west-1",
    "role": "arn:aws:iam::123456789012:role/serving",
    "instance_type": {"sagemaker": "ml.c5.large", "azureml": "Standard_DS3_v2"},
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
    "entra_client_id": GUID,
}
WITH: dict[str, dict[str, Any]] = {  # what a key is nothing without
    "entra_client_id": {"auth": "entra"},
    "entra_audiences": {"auth": "entra", "entra_client_id": GUID},
    "url_hosts": {"allow_urls": True},
}
MANY = {"object": {"TEAM": "ml", "COST_CENTER": "a b"}, "array": ("a.example", "b.example")}
NEEDED = {
    "azureml": {"subscription": GUID, "resource_group": "g", "workspace": "ws1"},
    "functions": {"subscription": GUID, "resource_group": "g"},
}
KEYS = [(table, key) for table, model in TABLES.items() for key in model.model_fields]


def sample(table: str, key: str) -> Any:
    """A value other than the default, as deploy.toml has it."""
    schema = TABLES[table].model_json_schema()["properties"][key]
    kind = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
    default = schema.get("default")
    if key in TEXTS:
        found = TEXTS[key]
        return found[table] if isinstance(found, dict) else found
    if "enum" in kind:
        return next(choice for choice in reversed(kind["enum"]) if choice != default)
    if kind["type"] == "boolean":
        return not default
    if kind["type"] in ("integer", "number"):
        return kind.get("minimum", 1) + 1
    if kind["type"] in MANY:
        return MANY[kind["type"]]
    assert re.fullmatch(kind.get("pattern", ".*"), "abc4"), f"{table}.{key}: give a sample in TEXTS"
    return "abc4"


def texts(value: Any) -> Iterator[str]:
    """The ways to write a value as text."""
    if isinstance(value, dict):
        yield ",".join(f"{name}={text}" for name, text in value.items())
        yield json.dumps(value)
    elif isinstance(value, tuple):
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


@pytest.mark.parametrize(("table", "key"), KEYS, ids=[".".join(pair) for pair in KEYS])
def test_each_key_by_flag_and_by_variable(table: str, key: str) -> None:
    value = sample(table, key)
    needed = WITH.get(key, {})
    expected = loaded(table, {**needed, key: value})
    assert getattr(expected, key) != TABLES[table].model_fields[key].default
    for text in texts(value):
        given = {f"{table}.{name}": str(other) for name, other in needed.items()}
        flags = {**given, **settings_of([f"{table}.{key}={text}"], "azureml")}
        by_flag = loaded(table, {}, flags=flags)
        assert by_flag == expected
        if key not in NEEDED.get(table, {}):  # these are given by flag above, which wins
            name = f"ONNXFERRY_{table}_{key}".upper()
            assert loaded(table, {}, flags=given, environment={name: text}) == expected


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
