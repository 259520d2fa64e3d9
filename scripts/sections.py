"""Documents whose sections are written by what measured them: each script renews its own and leaves
the others."""

from __future__ import annotations

import re
from pathlib import Path


def replace(path: Path, name: str, text: str) -> None:
    """Put `text` in the place of the section `name` of a Markdown file, or at its end where there
    is none yet.

    A section stands between two comments that are not shown.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    section = f"{begin}\n{text.strip()}\n{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    after = (
        found.sub(lambda _: section, before)
        if found.search(before)
        else f"{before.rstrip()}\n\n{section}\n".lstrip()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(after, encoding="utf-8")


def shown(value: object) -> str:
    """A flag's value for a document: a path that lies elsewhere on this machine is shown by its
    last part."""
    return value.name if isinstance(value, Path) and value.is_absolute() else str(value)
