"""Measures servers side by side, and writes the sections "Servers: ..." of docs/performance.md:

    PEERS=FOLDER python -m examples.servers.compare --data test.tsv [WORK ...]

PEERS holds the environments that environments.py makes; the models are those of models.py. Each
work takes minutes, on a machine that does nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

OUT = Path("build") / "servers"
COMMAND = (sys.executable, "-m", "scripts.benchmark", "--peers", "examples/servers/peers.yaml")
LOADS = ("--clients", "1,8,32,64", "--load", "50,80")
GRAPH = {"fp32": "float32", "int8": "int8"}


@dataclass(frozen=True)
class Work:
    """One section."""

    title: str
    servers: tuple[str, ...]
    flags: tuple[str, ...] = LOADS
    rounds: int = 2


def classifiers(model: str, precision: str, rounds: int = 2) -> Work:
    """All have the same graph, but for PyTorch's, which has none in int8."""
    at, optimum = OUT / model / precision, OUT / model / f"optimum-{precision}"
    servers = [f"{kind}@{at}" for kind in ("onnxferry", "litserve", "bentoml")]
    servers += [f"mlserver@{optimum}", f"infinity@{optimum}"]
    servers += [f"pipeline@{OUT / model / 'hf'}"] if precision == "fp32" else []
    title = f"{'MiniLM' if model == 'minilm' else 'DistilBERT'}, {GRAPH[precision]}"
    return Work(title, tuple(servers), (*LOADS, "--idle", "50", "--bare", str(optimum)), rounds)


def embeddings() -> Work:
    """The same graph where a library takes it, else optimum's export."""
    optimum = OUT / "embeddings" / "optimum"
    kinds = ("infinity:protocol=infinity-embeddings,name=infinity", "sentence-transformers")
    others = [f"{kind}@{optimum}" for kind in (*kinds, "fastembed")]
    return Work("all-MiniLM embeddings", (f"onnxferry@{OUT / 'embeddings' / 'fp32'}", *others))


def two_workers() -> Work:
    """For its memory."""
    at = OUT / "minilm"
    servers = [f"onnxferry:name=onnxferry,workers=2@{at / 'fp32'}"]
    folders = {"litserve": "fp32", "bentoml": "fp32", "mlserver": "optimum-fp32", "pipeline": "hf"}
    for kind, folder in folders.items():
        options = "WORKERS=2" if kind in ("mlserver", "pipeline") else "WORKERS=2,THREADS=1"
        servers.append(f"{kind}:name={kind},{options}@{at / folder}")
    return Work("MiniLM, two workers", tuple(servers), ("--clients", "1,8"), 1)


WORKS = {
    "minilm-fp32": classifiers("minilm", "fp32"),
    "minilm-int8": classifiers("minilm", "int8"),
    "distilbert-fp32": classifiers("distilbert", "fp32", 1),
    "distilbert-int8": classifiers("distilbert", "int8", 1),
    "embeddings": embeddings(),
    "workers": two_workers(),
}


@click.command()
@click.argument("works", nargs=-1, type=click.Choice(list(WORKS)))
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--time", "seconds", default=2.0, show_default=True, help="Seconds of each load.")
@click.option("--rounds", type=click.IntRange(1), help="By default two, of the largest works one.")
@click.option("--out", default="docs/performance.md", show_default=True)
def command(works: Sequence[str], data: Path, seconds: float, rounds: int | None, out: str) -> None:
    """Measure the WORKS, by default all, and write their sections. Goes on with the next work where
    one fails, and fails at the end."""
    if "PEERS" not in os.environ:
        sys.exit("set PEERS to the folder that examples.servers.environments made")
    failed = []
    for name in works or WORKS:
        work = WORKS[name]
        words = [*COMMAND, *(w for server in work.servers for w in ("--server", server))]
        words += [*work.flags, "--data", str(data.resolve()), "--time", str(seconds)]
        words += ["--warm-up", "0.7", "--rounds", str(rounds or work.rounds)]
        words += ["--title", f"Servers: {work.title}", "--out", out]
        words += ["--export", str(OUT / f"{name}.json")]
        if subprocess.run(words, check=False).returncode:
            failed.append(name)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    command()
