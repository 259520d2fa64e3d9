"""The documents' code blocks and links, for the tests that run what they show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted(page for at in ("", "docs/**/", "examples/**/") for page in ROOT.glob(f"{at}*.md"))


def read(page: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def code_blocks(text: str, language: str | None = None) -> list[str]:
    """The contents of the fenced blocks of `text`; of one language, if it is given."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [code for named, code in blocks if language in (None, named)]


def snippet(page: str, mark: str) -> str:
    """The one code block of `page` that contains `mark`."""
    (found,) = (code for code in code_blocks(read(page)) if mark in code)
    return found


def links(text: str) -> list[str]:
    """The targets of the links and images of `text`, outside its code."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)
