"""The models that `make servers` measures: for each work a folder below build/servers that holds
what the servers load, so that one argument tells a server all of it.

    python -m examples.servers.models [WORK ...]

    WORK/hf         the Hugging Face folder, the adapter merged
    WORK/optimum    its export by optimum
    WORK/fp32, int8 the model directories of `onnxferry prepare`: a graph, tokenizer.json
    WORK/optimum-fp32, optimum-int8
                    the same graphs in the place of optimum's, for servers that load such a folder

It needs transformers 4 and optimum. A folder that is there is left as it is. DistilBERT has random
weights of the published size (examples/benchmark.py).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from examples import batch, benchmark, models
from examples.servers.compare import OUT
from onnxferry.scripts.prepare import Options, prepare
from onnxferry.system.console import stage

EMOTIONS = "minilm-goemotions"


def minilm_source(folder: Path) -> None:
    """The trained classifier."""
    examples = {example.name: example for example in models.examples()}
    batch.source(examples[EMOTIONS], folder)


def distilbert_source(folder: Path) -> None:
    """The same folder that `make benchmark` measures."""
    shutil.copytree(benchmark.ready("distilbert"), folder)


def embeddings_source(folder: Path) -> None:
    """As its package brings it."""
    shutil.copytree(models.minilm(), folder)


def optimum_export(source: Path, folder: Path, *, task: str) -> None:
    """By optimum, without its optimisations: what its users serve."""
    from optimum.exporters.onnx import main_export

    main_export(str(source), folder, task=task, library_name="transformers")


def prepared(source: Path, folder: Path, *, precision: str, task: str) -> None:
    """The model directory, in float32 with its operators fused, or in int8 for any CPU."""
    variant = "fp32-optimised" if precision == "fp32" else None
    model = {"name": folder.parent.name, "task": task, "precision": precision}
    options = Options(str(source), folder, variant=variant, **model)
    prepare(replace(options, no_cache=True, max_metric_drop=1.0, min_agreement=0.0))


def graph_for_optimum(served: Path, optimum: Path, folder: Path) -> None:
    """The graph of the one and the configuration of the other."""
    shutil.copytree(optimum, folder, ignore=shutil.ignore_patterns("*.onnx*"))
    for path in served.glob("model.onnx*"):
        os.link(path, folder / path.name)


WORKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "minilm": (minilm_source, "text-classification"),
    "distilbert": (distilbert_source, "text-classification"),
    "embeddings": (embeddings_source, "feature-extraction"),
}


def ready(work: str) -> None:
    """All folders of a work, made now unless they are there."""
    source, task = WORKS[work]
    here = OUT / work
    _made(here / "hf", source)
    _made(here / "optimum", partial(optimum_export, here / "hf", task=task))
    for precision in ("fp32", "int8"):
        known = _known(precision) if work == "minilm" else None
        make = partial(prepared, here / "hf", precision=precision, task=task)
        _made(here / precision, partial(_linked, known) if known and known.is_dir() else make)
        graph = partial(graph_for_optimum, here / precision, here / "optimum")
        _made(here / f"optimum-{precision}", graph)


def _known(precision: str) -> Path:
    return models.BUILD / (EMOTIONS if precision == "fp32" else f"{EMOTIONS}-int8")


def _linked(known: Path, folder: Path) -> None:
    shutil.copytree(known, folder, copy_function=os.link)


def _made(folder: Path, make: Callable[[Path], None]) -> None:
    """It has its name only when it is whole."""
    if folder.is_dir():
        return
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with stage(f"make {folder}"):
        make(making)
    making.rename(folder)


if __name__ == "__main__":
    for each in sys.argv[1:] or WORKS:
        ready(each)
