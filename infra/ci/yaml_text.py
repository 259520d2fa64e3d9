"""A pipeline as YAML that people read: in the order it was made, scripts as blocks."""

from __future__ import annotations

from typing import Any

import yaml  # type: ignore[import-untyped]


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Lists are indented, nothing is an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        """As for a mapping."""
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        """Write each value where it stands."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(data: Any, head: str) -> str:
    """`data` below the comment `head`."""
    comment = "".join(f"# {line}\n" for line in head.splitlines())
    return f"{comment}{yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1000)}"
