"""The commented deploy.toml that `init` writes: every key with its meaning and default."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from onnxferry.infra.config import TABLES
from onnxferry.infra.environment_variables import PREFIX
from onnxferry.infra.nested_tables import tables_in
from onnxferry.scripts.model_table import ModelTable
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_text

_HEAD = f"""\
# onnxferry's deployment settings. A flag (--set KEY=VALUE) wins over the environment
# ({PREFIX}TABLE_KEY), and that over this file. What is commented out shows the default.
# Sign-ins, keys and tokens do not belong here.

"""


def init(file: Path, target: str) -> Path:
    """Write `file`, or add `target`'s table to it. Raises UsageError when it is there already."""
    new = not file.exists()
    text = _HEAD + _table("model", ModelTable) if new else read_text(file)
    if any(line.strip() == f"[{target}]" for line in text.splitlines()):
        raise UsageError(f"{file}: has a [{target}] table already; edit it, or give --config OTHER")
    file.write_text(f"{text.rstrip()}\n\n{_table(target, TABLES[target])}", encoding="utf-8")
    return file


def _table(name: str, table: type[BaseModel]) -> str:
    lines = [*_comment(table.__doc__), f"[{name}]"]
    inner = {key: field for key, field in table.model_fields.items() if tables_in(field)}
    for key, field in table.model_fields.items():
        if key not in inner:
            lines += [*_comment(field.description), _line(key, field)]
    for key, field in inner.items():
        lines += ["", *_comment(field.description)]
        for one in tables_in(field):
            lines += ["", *_comment(one.__doc__), *_commented(f"{name}.{key}", one)]
    return "\n".join(lines) + "\n"


def _commented(name: str, table: type[BaseModel]) -> Iterator[str]:
    """A table in a table, which is not there by default."""
    yield f"# [{name}]"
    for key, field in table.model_fields.items():
        yield from _comment(field.description)
        yield f"# {key} = {_needed(field)}" if field.is_required() else _line(key, field)


def _needed(field: FieldInfo) -> str:
    """What stands for a value that must be given: the one that it may have, or none."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return next(map(json.dumps, choices), "")


def _comment(text: str | None) -> list[str]:
    plain = " ".join((text or "").split())  # a docstring's later lines are indented
    return textwrap.wrap(plain, 98, initial_indent="# ", subsequent_indent="# ")


def _line(key: str, field: FieldInfo) -> str:
    if field.is_required():
        return f'{key} = ""'
    default = field.get_default(call_default_factory=True)
    default = list(default) if isinstance(default, tuple) else default
    return f"# {key} = {json.dumps('' if default is None else default)}"  # the same text in TOML
