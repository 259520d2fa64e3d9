"""deploy.toml, the environment and the command line as one validated DeployConfig.

Flags win over the environment (ONNXFERRY_SAGEMAKER_REGION=...) and that over the file, and that
over the config.json of an Azure Machine Learning workspace. Secrets have no place here: the clouds'
own sign-in holds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from onnxferry.infra import environment_variables as variables
from onnxferry.infra import workspace_file
from onnxferry.infra.config_texts import put
from onnxferry.infra.nested_tables import Model, by_variable, keys, tables_in, tags_of
from onnxferry.infra.target_tables import AzureML, Functions, MLflow, SageMaker, Table
from onnxferry.scripts.model_table import ModelTable, read_toml
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import TARGETS
from onnxferry.targets import load as resolve


class DeployConfig(Table):
    """All of deploy.toml; the table of a target of which nothing is said is None."""

    model: ModelTable = ModelTable()
    sagemaker: SageMaker | None = None
    azureml: AzureML | None = None
    functions: Functions | None = None
    mlflow: MLflow | None = None


TABLES: dict[str, type[BaseModel]] = {
    "model": ModelTable,
    **{name: resolve(target.settings) for name, target in TARGETS.items() if target.settings},
}
_further: dict[str, Any] = {  # targets that have only a row and their own folders
    name: (table | None, None)
    for name, table in TABLES.items()
    if name not in DeployConfig.model_fields
}
ALL = create_model("DeployConfig", __base__=DeployConfig, **_further) if _further else DeployConfig


def load(
    target: str,
    file: Path,
    flags: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> DeployConfig:
    """The configuration for `target`, whose table is present in the result.

    `flags` maps key paths ("sagemaker.region", "sagemaker.tags.team") to text, `environment` holds
    variables. A missing `file` is an empty one. Raises UsageError with all mistakes: key, where
    from, what was expected, what came.
    """
    data, origins = read_toml(file), dict[str, str]()
    for path, value in _variables(environment or {}).items():
        put(data, TABLES, path, value)
        origins[path] = _variable(path)
    for path, value in (flags or {}).items():
        put(data, TABLES, path, value)
        origins[path] = f"--set {path}"
    data.setdefault(target, {})
    origins |= workspace_file.fill(data, target, file)
    try:
        return ALL.model_validate(data)
    except pydantic.ValidationError as e:
        mistakes = e.errors(include_url=False)
        lines = "".join(f"\n  {_mistake(mistake, file, origins)}" for mistake in mistakes)
        keys = f"Keys and defaults: {program('init')} --target {target}"
        raise UsageError(f"the configuration is not valid:{lines}\n{keys}") from e


def settings_of(settings: Iterable[str], target: str) -> dict[str, str]:
    """KEY=VALUE texts by key path; one without a table, like tags.team=ml, is `target`'s. Raises
    UsageError."""
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            example = "region=eu-west-1 or model.name=squad"
            raise UsageError(f"--set {setting}: give KEY=VALUE, like {example}")
        table = key.partition(".")[0]
        own = "." not in key or table in TABLES[target].model_fields
        found[f"{target}.{key}" if own else key] = value
    return found


def schema() -> dict[str, Any]:
    """The JSON schema of deploy.toml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ALL.model_json_schema()}


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Key path -> value of the variables that name a table; an unknown key is a mistake, later."""
    found = {}
    for name, value in sorted(environment.items()):
        table, _, key = name.removeprefix(variables.PREFIX).lower().partition("_")
        if name.startswith(variables.PREFIX) and table in TABLES and key:
            found[f"{table}.{by_variable((TABLES[table],), key)}"] = value
    return found


def _variable(path: str) -> str:
    return variables.PREFIX + path.replace(".", "_").upper()


def _mistake(error: ErrorDetails, file: Path, origins: Mapping[str, str]) -> str:
    """What is wrong with one key, and where it was set."""
    path, known, field = _place(error["loc"])
    if error["type"] == "missing":
        ways = f"in {file}, as {_variable(path)} or with --set {path}=..."
        if path in {f"azureml.{key}" for key in workspace_file.KEYS}:
            ways += ", or put the workspace's config.json beside it"
        return f"{path}: needed, and not set; set it {ways}"
    start = f"{path} ({_origin(path, origins, file)})"
    if error["type"] == "extra_forbidden":
        within, mode = f"; known{_mode(error['loc'])}: ", _modes_with(path)
        return f"{start}: no such key{within}{', '.join(sorted(known))}{mode or _elsewhere(path)}"
    if error["type"] == variables.PROBLEM:
        return f"{start}: {error['msg']}"
    if error["type"] == "union_tag_invalid":
        return f"{start}: {_tag(error)}"
    meaning = f" [{' '.join((field.description or '').split())}]" if field else ""
    like = field.examples if field and error["type"] == "string_pattern_mismatch" else None
    said = f"expected one like {like[0]}" if like else error["msg"]
    return f"{start}: {said}; got {error['input']!r:.80}{meaning}"


def _place(loc: Iterable[int | str]) -> tuple[str, Iterable[str], FieldInfo | None]:
    """Of a mistake: the path of its key, the keys known beside that, and what the key, or the one
    that holds it, is. The tag of a table that is one of several is in `loc`, and in no path."""
    path, known, field = list[str](), dict[str, FieldInfo](), None
    tables: Sequence[Model] = (ALL,)
    for part in map(str, loc):
        if tagged := [table for table in tables if part in tags_of(table)]:
            tables = tagged
            continue
        path.append(part)
        if tables:
            known = {name: f for table in tables for name, f in table.model_fields.items()}
            field = known.get(part)
            tables = tables_in(field) if field else ()
    return ".".join(path), known, field


def _tag(error: ErrorDetails) -> str:
    """What is wrong with a table that is one of several."""
    given, modes = error["input"], error["ctx"]["expected_tags"]
    if isinstance(given, dict):
        return f"mode is one of {modes}; got {given.get('mode')!r}"
    return f"it is a table, whose key mode is one of {modes}; got {given!r:.80}"


def _mode(loc: Sequence[int | str]) -> str:
    """The mode of the table that a mistake is in, where it is one of several."""
    tagged = len(loc) > 2 and _place(loc)[0].count(".") < len(loc) - 1
    return f' where mode = "{loc[-2]}"' if tagged else ""


def _modes_with(path: str) -> str:
    """Which modes of a table that is one of several have the key that another lacks."""
    table, _, key = path.partition(".")
    holder, _, name = key.rpartition(".")
    found = [one for one in keys((TABLES[table],)) if ".".join(one.path) == holder] if key else []
    having = [t for one in found for t in one.tables if name in t.model_fields]
    modes = " or ".join(f'"{mode}"' for one in having for mode in tags_of(one))
    return f". It is a key of mode = {modes}" if modes else ""


def _elsewhere(path: str) -> str:
    """Where in the same target's table there is a key of that name."""
    table, _, key = path.partition(".")
    if table not in TABLES:
        return ""
    name = key.rpartition(".")[2]
    found = (".".join((table, *one.path)) for one in keys((TABLES[table],)) if one.path[-1] == name)
    others = [one for one in found if one != path]
    return f". There is {' and '.join(others)}" if others else ""


def _origin(path: str, origins: Mapping[str, str], file: Path) -> str:
    """Where a key was set: by itself, by one below it, or with the table that holds it."""
    below = [origin for p, origin in origins.items() if f"{p}.".startswith(f"{path}.")]
    above = [origin for p, origin in origins.items() if f"{path}.".startswith(f"{p}.")]
    return [str(file), *above, *below][-1]


if __name__ == "__main__":  # python -m infra.config > infra/deploy.schema.json
    print(json.dumps(schema(), indent=2))
