"""Runs of `onnxferry score` on tiny models, for the tests of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from click.testing import CliRunner, Result
from pyarrow import csv, parquet

from onnxferry.cli import cli


def score(*words: str | Path) -> Result:
    """The command's result."""
    return CliRunner().invoke(cli, ["score", *map(str, words)], prog_name="onnxferry")


def scored(*words: str | Path) -> dict[str, Any]:
    """What a run that ends well says in JSON."""
    result = score(*words, "--output", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refusal(*words: str | Path) -> str:
    """What a run says that does not begin; one line, without a traceback."""
    result = score(*words)
    assert result.exit_code == 2, result.output
    *_, last = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return last


def table(path: Path) -> dict[str, list[Any]]:
    """The columns of an output."""
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pydict()  # type: ignore[no-any-return]
    if ".csv" in path.suffixes:
        names = csv.read_csv(path).column_names
        how = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        )
        lines = csv.ParseOptions(newlines_in_values=True)
        return csv.read_csv(path, parse_options=lines, convert_options=how).to_pydict()  # type: ignore[no-any-return]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
