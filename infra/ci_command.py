"""The command `ci`: a pipeline of GitHub Actions or Azure Pipelines, for the user's repository.

onnxferry ci --target sagemaker --provider github --repository octo/squad --account 123456789012
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxferry.system import options
from onnxferry.targets import TARGETS

if TYPE_CHECKING:
    from onnxferry.infra.ci import DeliveryPipeline
    from onnxferry.infra.config import DeployConfig

_TARGETS = [name for name, target in TARGETS.items() if target.extra in ("aws", "azure")]
_PROVIDERS = click.Choice(["github", "azure-devops"])
_REPOSITORY = (
    "Whose tokens the cloud trusts: OWNER/NAME on GitHub, or OWNER@ID/NAME@ID;"
    " ORGANIZATION/PROJECT on Azure DevOps."
)
_INSTALL = "What pip installs in each job; default: this release of onnxferry, with its extras."
_ORGANIZATION = "Id of the Azure DevOps organization, which AWS knows its tokens by."
_OUT = "The root of the repository, where the files are written."


@options.command()
@options.target(_TARGETS)
@click.option("--provider", type=_PROVIDERS, required=True, help="Who runs the pipeline.")
@click.option("--repository", required=True, help=_REPOSITORY)
@click.option("--account", default="", help="Number of the AWS account that is deployed to.")
@click.option("--organization-id", "organization", default="", help=_ORGANIZATION)
@click.option("--branch", default="main", help="The branch that is deployed.")
@click.option("--install", default="", help=_INSTALL)
@options.apply(options.model, options.python, options.name, options.config)
@click.option("--out", default=".", type=options.PATH, help=_OUT)
@click.option("--force", is_flag=True, help="Write files anew that are there with another text.")
def ci(target: str, file: Path, out: Path, force: bool, **flags: Any) -> None:
    """Write a pipeline that deploys to TARGET, without a stored key. It prepares the model within
    its gate, rehearses it, shows the plan in the pull request, deploys by approval, and rolls back.
    The cloud trusts the tokens of two environments of one repository: beside it are the trust and
    the permissions, and SETUP.md with the commands that make them. Asks nobody; what deploy.toml
    says is in it, and environment variables are not."""
    from onnxferry.infra.ci import files, written

    made = files(_pipeline(target, file, out, **flags))
    changed = written(made, out, force=force)
    for path in made:
        state = "written" if out / path in changed else "as before"
        click.echo(f"{out / path}: {state}")
    setup = next(out / path for path in made if path.name == "SETUP.md")
    click.echo(f"Before it runs, once: {setup}")


def _pipeline(
    target: str, file: Path, out: Path, model: Path | None, python: str | None, **flags: Any
) -> DeliveryPipeline:
    """What the flags and the repository's deploy.toml say."""
    from onnxferry.infra.ci import DeliveryPipeline
    from onnxferry.infra.config import load

    config = load(target, out / file)
    settings = getattr(config, target)
    image = getattr(settings, "package_image", "")
    name = flags.pop("name") or _name(config, file)
    found = str(model or _model(config, file))
    prepares = not model and bool(config.model.source)
    given = flags.pop("install")
    installs = (given, given) if given else _release(target, prepares=prepares)
    version = python or config.model.python or _python(target, image)
    own = {"name": name, "model": found, "prepares": prepares, "python": version, "image": image}
    flags |= {"config": str(file), "installs": installs, **own}
    return DeliveryPipeline(target=target, settings=settings, **flags)


def _name(config: DeployConfig, file: Path) -> str:
    """The endpoint's name, which permissions hold. Raises UsageError where deploy.toml has none."""
    from onnxferry.system.errors import UsageError

    if not config.model.name:
        raise UsageError(f"name the endpoint, as its permissions do: --name, or name in {file}")
    return config.model.name


def _model(config: DeployConfig, file: Path) -> Path:
    """The model directory in the repository, or where the pipeline prepares it."""
    from onnxferry.system.errors import UsageError

    if not config.model.source and not config.model.path:
        needed = "source in [model], which the pipeline prepares, or path, of a model directory"
        raise UsageError(f"{file}: say what is deployed: {needed} in the repository; or --model")
    return config.model.folder()


def _python(target: str, image: str) -> str:
    from onnxferry.scripts.package import layout_of

    return layout_of(target, image).pythons[0]


def _release(target: str, *, prepares: bool) -> tuple[str, str]:
    """This very release, for the job that prepares, and for the others."""
    from onnxferry.system.versions import own_version

    cloud = f"image,{TARGETS[target].extra}]=={own_version()}"
    return f"onnxferry[{'export,' if prepares else ''}{cloud}", f"onnxferry[{cloud}"
