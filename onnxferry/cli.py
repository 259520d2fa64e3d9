"""The command line of onnxferry: a table of its commands, each imported when it is called, so that
--help answers at once and no cloud's SDK is loaded but the target's."""

from __future__ import annotations

import difflib
import pkgutil

import click

from onnxferry.system.exits import program

COMMANDS = {  # name -> where the command is, and the first sentence of its help
    "prepare": ("scripts.prepare.__main__:command", "Make a checked model directory of SOURCE."),
    "benchmark": ("scripts.benchmark.__main__:command", "Measure engines side by side."),
    "evaluate": ("scripts.evaluate.__main__:command", "Measure a model by its task's metric."),
    "package": ("scripts.package.__main__:command", "Build what a target loads."),
    "rehearse": ("scripts.rehearse.__main__:command", "Serve a package by the target's runtime."),
    "init": ("infra.command_line:init", "Write a commented deploy.toml."),
    "deploy": ("infra.command_line:deploy", "Put the model live on a target."),
    "plan": ("infra.command_line:plan", "Show what deploy would do now."),
    "invoke": ("infra.command_line:invoke", "Send one request to the live endpoint."),
    "status": ("infra.command_line:status", "Show what is live on a target."),
    "logs": ("infra.command_line:logs", "Show the live version's log."),
    "rollback": ("infra.command_line:rollback", "Put the previous version back."),
    "delete": ("infra.command_line:delete", "Delete the endpoint and all that belongs to it."),
    "serve": ("scripts.serve:command", "Serve a model directory on this machine."),
}


class LazyGroup(click.Group):
    """The commands of the table. `--target sagemaker` alone means `deploy --target sagemaker`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `deploy` before options that are not the group's own."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0].startswith("-") and args[0].partition("=")[0] not in own:
            args = ["deploy", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = pkgutil.resolve_name(f"onnxferry.{COMMANDS[cmd_name][0]}")
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises click.UsageError for an unknown name, with the nearest known one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            ctx.fail(e.format_message() + (f" Did you mean {near[0]!r}?" if near else ""))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the table's texts, which imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onnxferry")
def cli() -> None:
    """Carry one trained model to many clouds: prepare, rehearse, deploy."""


def main() -> None:
    """Run the command line."""
    cli(prog_name=program())


if __name__ == "__main__":
    main()
