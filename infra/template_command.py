"""The command `template`: what a target needs beside the package, as a template of the cloud's own.

onnxferry template --target functions                        # print it; asks nobody
onnxferry template --target functions --file functions.json --what-if
onnxferry template --target functions --deploy
onnxferry template --target sagemaker --deploy --endpoint    # the package and its endpoint, too
onnxferry template --target azureml --what-if                # the workspace of all endpoints
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.infra.command_options import CommandOptions
from onnxferry.infra.execution import Consent, execute
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program
from onnxferry.targets import TARGETS, template_kinds, templated

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Templated
    from onnxferry.infra.plan import Plan
    from onnxferry.scripts.package import Package

_FILE = "Write the template there; default: standard output, where nothing else is asked for."
_WHAT_IF = "Show what deploying it would change, as the cloud says; changes nothing."
_DEPLOY = "Show that, ask, and deploy it."
_KIND = "What kind of template; default: the cloud's own."
_ENDPOINT = (
    "With a package of the model, and the endpoint that serves it; both are then the template's."
)


@options.command()
@options.apply(
    options.target(templated()),
    options.model,
    options.python,
    options.name,
    options.config,
    options.settings,
    options.output,
    options.yes,
)
@click.option("--file", "path", type=options.FILE, help=_FILE)
@click.option("--format", "kind", type=click.Choice(template_kinds()), help=_KIND)
@click.option("--what-if", is_flag=True, help=_WHAT_IF)
@click.option("--deploy", is_flag=True, help=_DEPLOY)
@click.option("--endpoint", is_flag=True, help=_ENDPOINT)
@options.force
def template(path: Path | None, kind: str | None, output: str, **flags: Any) -> None:
    """Write what TARGET needs beside the package as a template of the cloud's own, with the values
    of deploy.toml as its defaults; preview it (--what-if), or deploy it (--deploy). Otherwise it
    asks the cloud nothing. Deployed by this command, or by any pipeline, it leaves `deploy` nothing
    to make but what the package changes."""
    what_if, deploy, endpoint = (flags.pop(name) for name in ("what_if", "deploy", "endpoint"))
    yes, force = flags.pop("yes"), flags.pop("force")
    given = CommandOptions(out=Path("build"), file=flags.pop("file"), **flags)
    kind = _kind(given.target, kind, asks=what_if or deploy)
    if what_if and deploy:
        raise UsageError("--deploy shows what --what-if shows; give one of them")
    if endpoint and not (what_if or deploy):
        raise UsageError(
            "--endpoint goes with --what-if or --deploy: a template that is written has both"
        )
    shared = bool(TARGETS[given.target].place) and kind == TARGETS[given.target].templates[0]
    cloud: Templated = given.connected("place" if shared else "connect")
    planned_by = _planned_by(cloud, given, endpoint=endpoint)
    if path or not (what_if or deploy):
        _write(cloud.template(_package(given), kind, over=what_if or deploy), path)
    if what_if:
        _preview(planned_by(), output)
    if deploy:
        consent = Consent(yes=yes, terminal=sys.stdin.isatty(), always=True)
        plan = execute(planned_by, cloud, consent, force)
        command = program("invoke" if endpoint else "deploy")
        named = "" if shared else f" --name {plan.name}"
        _report(plan, output, f"{command} --target {plan.target}{named}")


def _kind(target: str, kind: str | None, *, asks: bool) -> str:
    """The kind of template that is meant."""
    kinds = TARGETS[target].templates
    kind = kind or kinds[0]
    if kind not in kinds:
        allowed = " or ".join(kinds)
        raise UsageError(f"--target {target} has templates of --format {allowed}; got {kind}")
    if asks and kind != kinds[0]:
        raise UsageError(
            f"--format {kind} is only written: its own tool shows and deploys it (terraform plan,"
            f" terraform apply); --what-if and --deploy are of --format {kinds[0]}"
        )
    return kind


def _planned_by(cloud: Templated, given: CommandOptions, *, endpoint: bool) -> Callable[[], Plan]:
    """What plans the deployment of the template; with the endpoint, its package is built."""
    if not endpoint:
        package = _package(given)
        return lambda: cloud.plan_template(package)
    from onnxferry.infra.cloud import TemplatedEndpoint, bundle
    from onnxferry.scripts import package as packages

    if not isinstance(cloud, TemplatedEndpoint):
        raise UsageError(
            f"target {given.target}: `{program('deploy')}` publishes the package, no template"
        )
    cloud.sign_in()  # before anything is packaged
    folder, python = given.prepared(), given.python or given.config.model.python
    built = bundle(packages.package(folder, given.layout, out=given.out, python=python), folder)
    return lambda: cloud.plan_template_with(built)


def _package(given: CommandOptions) -> Package:
    """What is known of the package: its Python, and its model's files, where there is a model
    directory; all of it, where it is built, which its rehearsal's figures are found by."""
    from onnxferry.scripts.package import drafted, read
    from onnxferry.system.errors import PackageError

    python = given.python or given.config.model.python
    try:
        folder = given.folder if given.folder.is_dir() else None
    except UsageError:  # there is none yet, or there are several
        folder = None
    draft = drafted(folder, given.layout, python)
    try:
        built = read(given.out / given.target / draft.model) if draft.model else draft
    except PackageError:  # it is not built yet, or was changed
        return draft
    same = built.python == draft.python and {*draft.members} <= {*built.members}
    return built if same else draft


def _write(text: str, path: Path | None) -> None:
    if path is None:
        click.echo(text, nl=False)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    click.echo(f"{path}: written", err=True)


def _preview(plan: Plan, output: str) -> None:
    from onnxferry.infra.plan_text import plan_text

    click.echo(plan.to_json() if output == "json" else plan_text(plan), nl=output != "json")


def _report(plan: Plan, output: str, following: str) -> None:
    """What was made and changed, and the command that comes next."""
    done = [[step.action.value, step.resource, step.name] for step in plan.changes]
    if output == "json":
        click.echo(json.dumps({"deployed": done}, indent=2))
        return
    click.echo(f"All is as the template says. Next: {following}")
