"""The files of a pipeline, and how they come to the disk: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.ci import aws, azure, azure_devops, github, set_up
from onnxferry.infra.ci.delivery import DeliveryPipeline, checked
from onnxferry.system.errors import UsageError
from onnxferry.system.files import write_text
from onnxferry.targets import TARGETS


@dataclass(frozen=True)
class CiProvider:
    """Where its pipelines are, where what is beside them, what writes one of a DeliveryPipeline and
    its first line, and the scripts beside it."""

    pipelines: str
    beside: str
    write: Callable[[DeliveryPipeline, str], str]
    scripts: Callable[[DeliveryPipeline], dict[str, str]] = lambda pipeline: {}


@dataclass(frozen=True)
class CiCloud:
    """What is beside a pipeline, by name, and the part of SETUP.md that says how it is used, of the
    folder that it is in."""

    files: Callable[[DeliveryPipeline], dict[str, str]]
    commands: Callable[[DeliveryPipeline, str], str]


PROVIDERS: Mapping[str, CiProvider] = {
    "github": CiProvider(".github/workflows", ".github", github.workflow),
    "azure-devops": CiProvider(
        ".azuredevops", ".azuredevops", azure_devops.definition, azure_devops.scripts
    ),
}
CLOUDS: Mapping[str, CiCloud] = {  # by the extra that a target's SDK is in
    "aws": CiCloud(aws.files, aws.commands),
    "azure": CiCloud(azure.files, azure.commands),
}


def targets() -> list[str]:
    """The targets that a pipeline can be written for."""
    return [name for name, target in TARGETS.items() if target.connect and target.extra in CLOUDS]


def files(pipeline: DeliveryPipeline) -> dict[Path, str]:
    """The pipeline, and what makes whom it signs in as, by their paths in the repository. Raises
    UsageError with all that was given wrong."""
    extra = TARGETS[pipeline.target].extra
    checked(pipeline, extra)
    provider, cloud = PROVIDERS[pipeline.provider], CLOUDS[extra]
    file = f"{provider.pipelines}/{pipeline.title}.yml"
    folder = f"{provider.beside}/{pipeline.title}"
    setup = f"{folder}/SETUP.md"
    head = f"Written by `onnxferry ci`. What is done once, before it runs: {setup}"
    named = {**provider.scripts(pipeline), **cloud.files(pipeline)}
    beside = {f"{folder}/{name}": text for name, text in named.items()}
    page = set_up.text(pipeline, file, cloud.commands(pipeline, folder))
    made = {file: provider.write(pipeline, head), **beside, setup: page}
    return {Path(path): text for path, text in made.items()}


def written(found: Mapping[Path, str], root: Path, *, force: bool = False) -> list[Path]:
    """Write the files below `root` that are not there as they should be; which those are. Raises
    UsageError, and writes nothing, where one is there with another text, unless `force`."""
    changed = {root / path: text for path, text in found.items() if _other(root / path, text)}
    there = [path for path in changed if path.exists()]
    if there and not force:
        listed = ", ".join(map(str, there))
        raise UsageError(f"{listed}: there already, with another text; --force writes them anew")
    for path, text in changed.items():
        write_text(path, text)
    return list(changed)


def _other(path: Path, text: str) -> bool:
    """Whether there is no such file, or one with another text."""
    try:
        return path.read_text(encoding="utf-8") != text
    except (FileNotFoundError, UnicodeDecodeError):
        return True
