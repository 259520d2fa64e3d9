"""Renew the parts of docs/cli.md and docs/configuration.md that come from the code.

    python -m docs.generate

What stands above the line MARK in a page is written by hand and stays.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from onnxferry.cli import cli
from onnxferry.infra.config import TABLES
from onnxferry.infra.nested_tables import tables_in, tags_of
from onnxferry.scripts.benchmark.server.__main__ import command as servers
from onnxferry.system.options import LOGGING

FOLDER = Path(__file__).parent
MARK = "<!-- The rest is made from the code: python -m docs.generate -->\n"
WORDS = {
    "object": "table of texts",
    "string": "text",
    "integer": "whole number",
    "boolean": "`true` or `false`",
}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most"}


def pages() -> dict[Path, str]:
    """The text that each page should have."""
    generated = {"cli.md": cli_reference(), "configuration.md": configuration_reference()}
    return {FOLDER / name: _renewed(FOLDER / name, text) for name, text in generated.items()}


def cli_reference() -> str:
    """A section for each command, with its options."""
    group = click.Context(cli, info_name="onnxferry")
    found = [(name, cli.get_command(group, name)) for name in cli.list_commands(group)]
    place = [name for name, _ in found].index("benchmark") + 1
    found.insert(place, ("benchmark --server", servers))  # by this option another command
    return "\n".join(_command(name, command, group) for name, command in found)


def configuration_reference() -> str:
    """A section for each table of deploy.toml, with its keys."""
    return "\n".join(_table(name, model) for name, model in TABLES.items())


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)


def _renewed(page: Path, generated: str) -> str:
    head = page.read_text(encoding="utf-8").partition(MARK)[0]
    return f"{head}{MARK}\n{generated}"


def _command(name: str, command: click.Command | None, group: click.Context) -> str:
    if command is None:
        raise LookupError(f"the group lists {name}, and has no such command")
    context = click.Context(command, parent=group, **command.context_settings)
    metavars = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and p not in LOGGING]
    usage = " ".join(["onnxferry", name, *metavars, "[OPTIONS]"])
    rows = [_option(option, context) for option in options if not option.hidden]
    table = _markdown([("option", "meaning", "default, range"), *rows])
    return f"## {name}\n\n{_line(command.help)}\n\n```\n{usage}\n```\n\n{table}"


def _option(option: click.Option, context: click.Context) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_choices(option, context)}"
    extra = option.get_help_extra(context)
    shown = [f"`{extra[key]}`" for key in ("default", "range") if extra.get(key)]
    return names + value, option.help or "", ", ".join(shown) or extra.get("required", "")


def _choices(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return f"`{option.make_metavar(context)}`"


def _table(name: str, model: type[BaseModel]) -> str:
    """A table's section, then those of the tables in it."""
    inner = {key: tables_in(field) for key, field in model.model_fields.items()}
    parts = [f"## {name}\n\n{_line(model.__doc__)}\n\n{_keys(model, inner)}"]
    for key, tables in inner.items():
        parts += [_inner(f"{name}.{key}", table, tags_of(table)) for table in tables]
    return "\n".join(parts)


def _inner(name: str, model: type[BaseModel], tags: tuple[str, ...]) -> str:
    chosen = f', mode = "{tags[0]}"' if tags else ""
    return f"### {name}{chosen}\n\n{_line(model.__doc__)}\n\n{_keys(model, {})}"


def _keys(model: type[BaseModel], inner: Mapping[str, Collection[Any]]) -> str:
    schema = model.model_json_schema()
    rows = [("key", "type", "meaning", "default")]
    for key, found in schema["properties"].items():
        required = key in schema.get("required", ())
        default = "required" if required else _value(found.get("default"))
        kind = "table, below" if inner.get(key) else _type(found)
        rows.append((f"`{key}`", kind, found.get("description", ""), default))
    return _markdown(rows)


def _type(schema: dict[str, Any]) -> str:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return ", ".join(_kind(kind) for kind in kinds)


def _kind(schema: dict[str, Any]) -> str:
    if found := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return " or ".join(f"`{value}`" for value in found)
    bounds = [f"{word} {schema[key]:g}" for key, word in BOUNDS.items() if key in schema]
    return " ".join([WORDS.get(schema["type"], schema["type"]), " and ".join(bounds)]).strip()


def _value(value: Any) -> str:
    shown = json.dumps(value) if isinstance(value, bool) else value
    return f"`{shown}`" if isinstance(value, str | int | float) else ""


def _markdown(rows: Sequence[tuple[str, ...]]) -> str:
    head, *body = ("| " + " | ".join(map(_line, row)) + " |\n" for row in rows)
    return head + "| --- " * len(rows[0]) + "|\n" + "".join(body)


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("\b", "").split()).replace("|", r"\|")


if __name__ == "__main__":
    main()
