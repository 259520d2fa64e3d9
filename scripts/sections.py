"""Documents whose sections are written by what measured them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Sequence
from pathlib import Path


def replace(path: Path, name: str, text: str) -> None:
    """Put `text` in the place of a Markdown file's section `name`, between two comments, or at the
    file's end."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    section = f"{begin}\n{text.strip()}\n{end}"
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    after, found = re.subn(pattern, lambda _: section, before, flags=re.DOTALL)
    if not found:
        after = f"{before.rstrip()}\n\n{section}\n".lstrip()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(after, encoding="utf-8")


def section(title: str, command: str, *parts: str) -> str:
    """A section: the command that measured it, then `parts`."""
    return "\n\n".join([f"## {title}", f"```\n{command}\n```", *parts])


def shown(value: object) -> str:
    """A flag's value for a document: of an absolute path its last part."""
    return value.name if isinstance(value, Path) and value.is_absolute() else str(value)


def repeated(module: str, given: Sequence[str], hidden: Container[str] = ()) -> str:
    """The command that measures this again, an option a line, without those that are `hidden`; of
    an absolute path its last part."""
    lines = [["python", "-m", module]]
    for word in given:
        if word.startswith("-"):
            lines.append([word])
        else:
            lines[-1].append(Path(word).name if Path(word).is_absolute() else word)
    kept = [line for line in lines if line[0].partition("=")[0] not in hidden]
    return " \\\n    ".join(shlex.join(line) for line in kept)
