"""Options that were called something else once."""

from __future__ import annotations

import copy
from typing import Any

import click


class RenamedOption(click.Option):
    """An option that is also accepted under its `former` name, which no help or document shows.

    @click.option("--baseline", cls=RenamedOption, former="--against")
    """

    def __init__(self, *args: Any, former: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.former = former

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Make both names known."""
        both = copy.copy(self)
        both.opts = [*self.opts, self.former]
        super(RenamedOption, both).add_to_parser(parser, ctx)
