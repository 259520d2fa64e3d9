"""What is wrong with the files that the user gave beside a source, read before the model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxferry.scripts import datasets
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources import user_inputs
from onnxferry.scripts.prepare.sources.settings import labels
from onnxferry.scripts.prepare.sources.settings.user_settings import read_user_settings
from onnxferry.system.errors import UsageError

Names = tuple[str, ...]


def mistakes(options: Options, task: str | None, names: Names) -> list[str]:
    """One sentence for each file; `names`: the labels of answers, where they are known. Without a
    task only the golden requests can be read."""
    found = []
    for flag, read in _READERS.items():
        if getattr(options, flag) and (task or flag == "golden"):
            try:
                read(options, task or "", names)
            except UsageError as e:
                found.append(str(e))
    return found


def _data(options: Options, task: str, names: Names) -> None:
    """Without labels, those of a set cannot be told from wrong ones."""
    if options.data and (names or task not in labels.CLASSIFIERS):
        datasets.read(options.data, task, names)


_READERS: dict[str, Callable[[Options, str, Names], Any]] = {
    "settings": lambda options, task, _: read_user_settings(options.settings, task),
    "labels": lambda options, task, _: labels.read(options.labels, task),
    "inputs": lambda options, task, _: user_inputs.read_inputs(options.inputs, task),
    "golden": lambda options, task, _: user_inputs.read_golden(options.golden or options.out),
    "data": _data,
}
