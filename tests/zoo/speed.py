"""python -m tests.zoo.speed: what is fused in each architecture, whether int8 stays within the
gate, and how much faster both are; docs/architectures.md.

Models have the width of those that people run, few layers, a small vocabulary and random weights.
Times are the CPU time of one thread, all forms of a model in turns, the least of some rounds, so
that other work of the machine weighs little; ratios are all that they tell.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import transformers

from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.machine import machine
from onnxferry.scripts.metrics.agreement import same_direction
from onnxferry.scripts.prepare.sources.huggingface import torch_export
from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.fusion import Fusion, fuse
from onnxferry.scripts.prepare.variants.table import VARIANTS
from onnxferry.scripts.prepare.variants.variant import VariantInputs
from onnxferry.system.library_output import silence_libraries

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
MARK = "<!-- The rest is measured: python -m tests.zoo.speed -->\n"
INT8 = "int8-static-reduced"  # what is exact on any kind of CPU
BATCHES = ((1, 32), (4, 64))  # texts, tokens
ROUNDS = 5
TEXTS = 32  # whose vectors are compared
_BERT = {"vocab_size": 20000, "hidden_size": 768, "num_hidden_layers": 3, "intermediate_size": 3072}
_SMALL = {"hidden_size": 384, "intermediate_size": 1536}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2}
_DEBERTA: Mapping[str, Any] = {
    **{"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 256},
    **{"share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False},
    "type_vocab_size": 0,
}


@dataclass(frozen=True)
class Row:
    """A model: what stands for it in the table, its configuration's name and what differs from
    BERT's base size."""

    name: str
    kind: str
    changes: Mapping[str, Any]


ROWS = (
    Row("MiniLM, BGE small, GTE small (BERT, 384 wide)", "Bert", _SMALL),
    Row("BERT, BGE base, GTE base", "Bert", {}),
    Row("DistilBERT", "DistilBert", {"dim": 768, "n_layers": 3, "hidden_dim": 3072}),
    Row("XLM-R, BGE-M3, multilingual E5", "XLMRoberta", {}),
    Row("MPNet", "MPNet", {}),
    Row("DeBERTa-v3", "DebertaV2", _DEBERTA),
    Row("ModernBERT", "ModernBert", {"intermediate_size": 1152, "sep_token_id": 2, **_IDS}),
    Row("Nomic", "NomicBert", {}),
    Row("GTE v1.5 and multilingual", "Gte", {"pad_token_id": 0}),
    Row(
        "Qwen3-Embedding 0.6B",
        "Qwen3",
        {"hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128},
    ),
)


def measured(row: Row, folder: Path) -> list[str] | None:
    """The cells of a row; None where this version of transformers has no such model."""
    if not hasattr(transformers, f"{row.kind}Config"):
        return None
    source, target = folder / "exported.onnx", folder / "int8.onnx"
    config = getattr(transformers, f"{row.kind}Config")(**{**_BERT, **row.changes})
    _export(config, source)
    made = fuse(source, folder / "fused.onnx", Architecture.of(config.to_dict()))
    (variant,) = (v for v in VARIANTS if v.name == INT8)
    calibration = [_feeds(source, 2, 16 + 8 * seed, seed) for seed in range(8)]
    variant.make(VariantInputs(source, made.graph, calibration), target, frozenset())
    paths = (source, made.graph or source, target)
    kept = _kept(source, target)
    ratios = [_ratios(paths, *batch) for batch in BATCHES]
    fused, int8 = (" / ".join(f"{each[i]:.2f}" for each in ratios) for i in (1, 2))
    within = f"{'yes' if kept >= 0.99 else 'no'} ({kept:.0%})"
    return [row.name, _operators(made), "; ".join(_causes(made)) or "none", within, fused, int8]


def _export(config: Any, path: Path) -> None:
    torch.manual_seed(0)
    with silence_libraries():
        model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
        names = ["input_ids", "attention_mask"]
        wanted = torch_export.GraphRequest("feature-extraction", names)
        torch_export.export(model.float(), path, wanted)


def _operators(made: Fusion) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in made.found.items() if n)


def _causes(made: Fusion) -> list[str]:
    return [
        sentence.replace(" attentions stay single operators", "") for sentence in made.single
    ] + list(made.missing)


def _feeds(graph: Path, rows: int, tokens: int, seed: int) -> dict[str, Array]:
    """Random texts, all but the first of them shorter."""
    draw = np.random.default_rng(seed)
    lengths = [tokens, *draw.integers(tokens // 2, tokens, rows - 1)]
    mask = np.array([[i < n for i in range(tokens)] for n in lengths], np.int64)
    return {"input_ids": draw.integers(3, 20000, (rows, tokens)) * mask, "attention_mask": mask}


def _kept(source: Path, target: Path) -> float:
    """The share of texts whose mean vector int8 keeps, as `prepare` compares embeddings."""
    before, after = (Session(path, EngineOptions(threads=1)) for path in (source, target))
    same = []
    for seed in range(100, 100 + TEXTS // 8):
        given = _feeds(source, 8, 48, seed)
        mask = given["attention_mask"][..., None]
        vectors = [(s.run(given)[0] * mask).sum(1) / mask.sum(1) for s in (before, after)]
        same += [same_direction(a, b, 0) for a, b in zip(*vectors, strict=True)]
    return float(np.mean(same))


def _ratios(paths: Sequence[Path], rows: int, tokens: int) -> list[float]:
    """How many times as fast as the first each graph is."""
    sessions = [Session(path, EngineOptions(threads=1)) for path in paths]
    given = _feeds(paths[0], rows, tokens, 0)
    for session in sessions:
        session.run(given)
    times = [[_seconds(session, given) for session in sessions] for _ in range(ROUNDS)]
    least = np.min(times, axis=0)
    return [float(least[0] / each) for each in least]


def _seconds(session: Session, given: Mapping[str, Array]) -> float:
    """Of CPU time, for a run."""
    began = time.process_time()
    session.run(given)
    return time.process_time() - began


@click.command()
@click.option("-k", "word", default="", help="Only architectures whose name holds this; no page.")
def command(word: str) -> None:
    """Measure, and write the page."""
    heads = [
        "architecture",
        "fused",
        "attentions that stay single operators",
        "int8 within the gate",
    ]
    heads += ["fp32-optimised", "int8"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for row in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            cells = measured(row, Path(folder)) if word in row.name else None
        if cells:
            lines.append(f"| {' | '.join(cells)} |")
            click.echo(lines[-1])
    if not word:
        head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
        where = f"{machine()}, transformers {transformers.__version__}."
        PAGE.write_text(f"{head}{MARK}\n" + "\n".join([*lines, "", where, ""]), encoding="utf-8")


if __name__ == "__main__":
    command()
