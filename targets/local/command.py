"""The command line of the server, the same in `onnxferry serve` and in a package's server.py: an
option, and a variable ONNXFERRY_SERVER_*, for each field of ServerConfig, and --config for a file
of them. Options win over variables, and these over the file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from onnxferry.targets.local import config_file, keys
from onnxferry.targets.local.config import ServerConfig

PREFIX = "ONNXFERRY_SERVER_"
# as the hosts of containers set them: Vertex AI, then Cloud Run and others
_ALSO = {"port": ("AIP_HTTP_PORT", "PORT")}
_REPEATED = {"cors_origins": ("--cors-origin", "ORIGIN"), "url_hosts": ("--url-hosts", "HOST")}
_MODELS = click.argument("models", nargs=-1, metavar="[[NAME=]DIR]...")
_FILE = "Settings' file, TOML or YAML: these options with _ for -, and models. Also DeepSparse's."


def _options() -> Iterator[Callable[..., Any]]:
    yield _MODELS
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    yield click.option("--config", type=path, envvar=f"{PREFIX}CONFIG", help=_FILE)
    for name, field in ServerConfig.model_fields.items():
        if name != "models":
            yield _option(name, field.annotation, field.default, field.description or "")


def _option(name: str, annotation: Any, default: Any, text: str) -> Callable[..., Any]:
    """Its value is None where nothing is said, so that the file's or the default holds."""
    flag = f"--{name.replace('_', '-')}"
    variables = [PREFIX + name.upper(), *_ALSO.get(name, ())]
    kind: dict[str, Any] = {"metavar": {int: "N", float: "SECONDS"}.get(annotation, "TEXT")}
    if annotation is bool:
        kind, flag = {"is_flag": True}, f"{flag}/--no-{flag[2:]}"
    elif name in _REPEATED:
        flag, metavar = _REPEATED[name]
        kind = {"multiple": True, "metavar": metavar}
    shown = f"{text} [default: {default}]" if default not in (None, False, ()) else text
    given = {"default": None, "show_default": False, "envvar": variables, "help": shown}
    return click.option(flag, name, **{**given, **kind})


OPTIONS: Sequence[Callable[..., Any]] = tuple(_options())


def configured(
    models: Sequence[str], config: Path | None, default: Callable[[], Path], **flags: Any
) -> tuple[ServerConfig, tuple[str, ...]]:
    """What OPTIONS say, and a sentence for each setting that means nothing here. `default`: the
    model directory where none is named. Raises click.UsageError."""
    try:
        settings, notes = config_file.read(config) if config else ({}, ())
        settings |= {name: v for name, v in flags.items() if v not in (None, ())}
        if models:
            settings["models"] = [_model(text) for text in models]
        elif "models" not in settings:
            settings["models"] = [{"path": default()}]
        return config_file.checked(settings, str(config or "")), (*notes, *_misspelt(os.environ))
    except config_file.ConfigError as e:
        raise click.UsageError(str(e)) from e


def _misspelt(variables: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like a setting and is none; its value is not told."""
    fields = set(ServerConfig.model_fields) - {"models"}
    known = [keys.VARIABLE, *(PREFIX + name.upper() for name in ("config", *sorted(fields)))]
    for name in sorted(set(variables) - set(known)):
        if name.startswith(PREFIX):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield f"the variable {name} means nothing here{hint}"


def _model(text: str) -> dict[str, str]:
    """NAME=DIR, or DIR."""
    name, equals, path = text.partition("=")
    if equals and "/" not in name:
        return {"name": name, "path": path}
    return {"path": text}


def program(model: Path) -> click.Command:
    """A command that serves the models that it is told, or else the one in MODEL_DIR or `model`."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]})
    def command(**given: Any) -> None:
        """Serve model directories on this machine until SIGTERM or Ctrl-C.

        Without a directory it is the one in MODEL_DIR, or the folder 'model' beside this file. Each
        option is also a variable, like ONNXFERRY_SERVER_PORT; ONNXFERRY_SERVER_KEYS holds API keys.
        """
        config, notes = configured(default=lambda: _default(model), **given)
        from onnxferry.targets.local.server import serve

        serve(config, notes)

    for option in OPTIONS:
        command = option(command)
    return command


def _default(model: Path) -> Path:
    return Path(os.environ.get("MODEL_DIR") or model)
