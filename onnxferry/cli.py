"""The command line of onnxferry: a table of its commands, each imported when it is called."""

from __future__ import annotations

import difflib
import pkgutil
from typing import Any

import click

from onnxferry.system.exits import program

_SCRIPTS = "onnxferry.scripts.{}.__main__:command"
_CLOUDS = "onnxferry.infra.command_line:{}"
COMMANDS = {  # name -> where the command is, and how its own help begins
    "prepare": (_SCRIPTS, "Make a checked model directory of SOURCE."),
    "benchmark": (_SCRIPTS, "Measure engines side by side."),
    "evaluate": (_SCRIPTS, "Measure a model directory by its task's metric."),
    "package": (_SCRIPTS, "Build what TARGET loads of MODEL_DIR."),
    "rehearse": (_SCRIPTS, "Serve a package by its platform's real runtime, here."),
    "score": (_SCRIPTS, "Score every row of INPUT into OUTPUT."),
    "init": (_CLOUDS, "Write a commented deploy.toml."),
    "deploy": (_CLOUDS, "Package the model and put it live on TARGET."),
    "plan": (_CLOUDS, "Show what `deploy` would do now."),
    "drift": (_CLOUDS, "Tell whether TARGET is as the model and deploy.toml say."),
    "invoke": (_CLOUDS, "Send one request to the live endpoint."),
    "batch": (
        "onnxferry.infra.batch_command:{}",
        "Score the files at INPUT into OUTPUT by a job of TARGET's own.",
    ),
    "status": (_CLOUDS, "Show what is live on TARGET."),
    "compare": (
        "onnxferry.infra.compare_command:{}",
        "Report how a shadow answers, and how fast, beside the live version.",
    ),
    "logs": (_CLOUDS, "Show the last lines that the live version's container printed."),
    "keys": (
        "onnxferry.infra.keys_command:{}",
        "Tell how callers of the live endpoint are let in and which keys there are, by"
        " fingerprints.",
    ),
    "open": (
        "onnxferry.infra.open_command:{}_",
        "Print the link to the endpoint's page in the console of TARGET's cloud.",
    ),
    "list": (_CLOUDS + "_", "Show all that onnxferry ever made on TARGET."),
    "rollback": (_CLOUDS, "Put the previous version back."),
    "template": (
        "onnxferry.infra.template_command:{}",
        "Write what TARGET needs beside the package as a template of the cloud's own.",
    ),
    "ci": (
        "onnxferry.infra.ci_command:{}",
        "Write a pipeline that deploys to TARGET, without a stored key.",
    ),
    "delete": (_CLOUDS, "Delete the endpoint and all that deploying it made."),
    "serve": ("onnxferry.scripts.serve:command", "Serve model directories on this machine."),
}


class LazyGroup(click.Group):
    """The commands of the table. `--target sagemaker` alone means `deploy --target sagemaker`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `deploy` before options that are not the group's."""
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
        found: click.Command = pkgutil.resolve_name(COMMANDS[cmd_name][0].format(cmd_name))
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
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
