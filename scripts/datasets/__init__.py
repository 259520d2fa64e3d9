"""What prepare, evaluate and benchmark ask models: evaluation sets (here) and built-in inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from onnxferry.scripts.datasets.readers import FOLDER, FORMATS, READERS, Item
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import combined_sha256, sha256

__all__ = ["READERS", "Item", "digest", "evenly", "read", "title"]
T = TypeVar("T")
SPLITS = ("train", "dev", "validation", "test")  # file names that do not say of which set


def read(path: Path, task: str, labels: Sequence[str]) -> list[Item]:
    """The items of a set; `labels` are the model's. Raises UsageError."""
    known = READERS.get(task)
    if known is None:
        raise UsageError(f"no metric for task '{task}'; there is one for {', '.join(READERS)}")
    kind = FOLDER if path.is_dir() else path.suffix
    if kind not in known:
        folder = f"a folder {'with one subfolder a label' if labels else 'of pictures'}"
        wanted = folder if FOLDER in known else f"a file that ends in {' or '.join(known)}"
        raise UsageError(f"--data {path}: for {task} give {wanted}")
    try:
        items = list(known[kind](path, labels))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as e:
        lacks = f"lacks the key {e}" if isinstance(e, KeyError) else str(e)
        formats = "\n".join(("; give one of these:", *FORMATS[task]))
        raise UsageError(f"--data {path}: not a {task} set: {lacks}{formats}") from e
    if not items:
        raise UsageError(f"--data {path}: holds no items")
    return items


def evenly(items: list[T], limit: int | None) -> list[T]:
    """`limit` of `items`, evenly over the list; all where that is None."""
    if not limit or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def digest(path: Path) -> str:
    """The sha256 of a file, or of the names and bytes of a folder's files."""
    if path.is_file():
        return sha256(path)
    return combined_sha256(sorted(p for p in path.rglob("*") if p.is_file()))


def title(path: Path) -> str:
    """The name of the file, with its folder's where it only says which split it is."""
    path = path.resolve()
    return f"{path.parent.name}/{path.name}" if path.stem in SPLITS else path.name
